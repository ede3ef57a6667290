package kubeproxy

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/ipset"
	"github.com/svclab/svclab/datapath/packet"
)

// ipvsSet is one of the ipvs mode's sets, under its IPv4 name.
type ipvsSet string

// The sets (pkg/proxy/ipvs/ipset.go, v1.37).
const (
	setLoopBack       ipvsSet = "KUBE-LOOP-BACK"                 // endpoints of this node with themselves as source
	setClusterIP      ipvsSet = "KUBE-CLUSTER-IP"                // cluster IPs
	setExternalIP     ipvsSet = "KUBE-EXTERNAL-IP"               // external IPs, policy Cluster
	setExternalLocal  ipvsSet = "KUBE-EXTERNAL-IP-LOCAL"         // external IPs, policy Local
	setLoadBalancer   ipvsSet = "KUBE-LOAD-BALANCER"             // load-balancer addresses
	setLBFirewall     ipvsSet = "KUBE-LOAD-BALANCER-FW"          // those with source ranges
	setLBLocal        ipvsSet = "KUBE-LOAD-BALANCER-LOCAL"       // those with policy Local
	setLBSourceIP     ipvsSet = "KUBE-LOAD-BALANCER-SOURCE-IP"   // single sources that may use one
	setLBSourceCIDR   ipvsSet = "KUBE-LOAD-BALANCER-SOURCE-CIDR" // source ranges that may use one
	setNodePortTCP    ipvsSet = "KUBE-NODE-PORT-TCP"
	setLocalPortTCP   ipvsSet = "KUBE-NODE-PORT-LOCAL-TCP"
	setNodePortUDP    ipvsSet = "KUBE-NODE-PORT-UDP"
	setLocalPortUDP   ipvsSet = "KUBE-NODE-PORT-LOCAL-UDP"
	setNodePortSCTP   ipvsSet = "KUBE-NODE-PORT-SCTP-HASH"
	setLocalPortSCTP  ipvsSet = "KUBE-NODE-PORT-LOCAL-SCTP-HASH"
	setHealthNodePort ipvsSet = "KUBE-HEALTH-CHECK-NODE-PORT"
	setAddresses      ipvsSet = "KUBE-IPVS-IPS" // what is bound to kube-ipvs0
)

// ipvsSets lists all sets, by name.
var ipvsSets = []struct {
	set     ipvsSet
	typ     ipset.Type
	comment string // of the rules that ask it
}{
	{setClusterIP, ipset.HashIPPort, "Kubernetes service cluster ip + port for masquerade purpose"},
	{setExternalIP, ipset.HashIPPort, "Kubernetes service external ip + port for masquerade and filter purpose"},
	{setExternalLocal, ipset.HashIPPort, "Kubernetes service external ip + port with externalTrafficPolicy=local"},
	{setHealthNodePort, ipset.BitmapPort, "Kubernetes health check node port"},
	{setAddresses, ipset.HashIP, "Addresses on the ipvs interface"},
	{setLoadBalancer, ipset.HashIPPort, "Kubernetes service lb portal"},
	{setLBFirewall, ipset.HashIPPort, "Kubernetes service load balancer ip + port for load balancer with sourceRange"},
	{setLBLocal, ipset.HashIPPort, "Kubernetes service load balancer ip + port with externalTrafficPolicy=local"},
	{setLBSourceCIDR, ipset.HashIPPortNet, "Kubernetes service load balancer ip + port + source cidr for packet filter purpose"},
	{setLBSourceIP, ipset.HashIPPortIP, "Kubernetes service load balancer ip + port + source IP for packet filter purpose"},
	{setLoopBack, ipset.HashIPPortIP, "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose"},
	{setLocalPortSCTP, ipset.HashIPPort, "Kubernetes nodeport SCTP port with externalTrafficPolicy=local with type 'hash ip:port'"},
	{setLocalPortTCP, ipset.BitmapPort, "Kubernetes nodeport TCP port with externalTrafficPolicy=local"},
	{setLocalPortUDP, ipset.BitmapPort, "Kubernetes nodeport UDP port with externalTrafficPolicy=local"},
	{setNodePortSCTP, ipset.HashIPPort, "Kubernetes nodeport SCTP port for masquerade purpose with type 'hash ip:port'"},
	{setNodePortTCP, ipset.BitmapPort, "Kubernetes nodeport TCP port for masquerade purpose"},
	{setNodePortUDP, ipset.BitmapPort, "Kubernetes nodeport UDP port for masquerade purpose"},
}

// maxSetName is the longest name of a set in bytes.
const maxSetName = 31

// name is the set's name in a family: both families' sets live in one name space.
func (s ipvsSet) name(f packet.Family) string {
	if f != packet.IPv6 {
		return string(s)
	}
	n := strings.Replace(string(s), "KUBE-", "KUBE-6-", 1)
	return n[:min(len(n), maxSetName)]
}

func (s ipvsSet) comment() string {
	for i := range ipvsSets {
		if ipvsSets[i].set == s {
			return comment(ipvsSets[i].comment)
		}
	}
	return ""
}

// createSet spells the set as kube-proxy creates it.
func createSet(s ipvsSet, t ipset.Type, f packet.Family) datapath.SetCreate {
	o := datapath.SetCreate{Name: s.name(f), Type: string(t), Options: "range 0-65535", Exist: true}
	if t != ipset.BitmapPort {
		family := "inet"
		if f == packet.IPv6 {
			family = "inet6"
		}
		o.Options = "family " + family + " hashsize 1024 maxelem 65536"
	}
	return o
}

// The spellings of entries.
func entryIPPort(a netip.Addr, proto packet.Protocol, port uint16) string {
	return a.String() + "," + proto.String() + ":" + strconv.Itoa(int(port))
}

func entryIPPortIP(a netip.Addr, proto packet.Protocol, port uint16, b netip.Addr) string {
	return entryIPPort(a, proto, port) + "," + b.String()
}

func entryIPPortNet(a netip.Addr, proto packet.Protocol, port uint16, n netip.Prefix) string {
	return entryIPPort(a, proto, port) + "," + n.String()
}

func entryPort(port uint16) string { return strconv.Itoa(int(port)) }

// wantedEntries are the entries that sets shall have after a sync.
type wantedEntries map[ipvsSet]map[string]bool

func (w wantedEntries) add(s ipvsSet, entry string) {
	if w[s] == nil {
		w[s] = map[string]bool{}
	}
	w[s][entry] = true
}

// syncSets takes out of the sets what is not wanted and puts in what is missing. kube-proxy compares texts: an entry that
// the kernel spells in another way, as it does a source range of one address, is deleted and added again at every sync.
func (x *ipvsSync) syncSets() {
	for i := range ipvsSets {
		s := ipvsSets[i].set
		name := s.name(x.family)
		have, ok := x.ipvsHost.SetEntries(name)
		if !ok {
			continue // kube-proxy logs an error
		}
		have = slices.Clone(have)
		slices.Sort(have)
		for _, e := range have {
			if !x.want[s][e] {
				x.do(datapath.SetDel{Set: name, Entry: e})
			}
		}
		for _, e := range sortedKeys(x.want[s]) {
			if _, found := slices.BinarySearch(have, e); !found {
				x.do(datapath.SetAdd{Set: name, Entry: e, Exist: true})
			}
		}
	}
}
