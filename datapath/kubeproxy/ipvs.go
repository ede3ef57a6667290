package kubeproxy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

// DummyInterface holds the addresses of Services in ipvs mode, so that their packets are delivered locally and meet IPVS.
const DummyInterface = "kube-ipvs0"

// defaultScheduler is ipvs.scheduler where the configuration gives none.
const defaultScheduler = "rr"

// ipvsProxier is the proxier of the ipvs mode (pkg/proxy/ipvs/proxier.go, v1.37). Every sync goes through everything and
// writes what differs. kube-proxy adds the servers of a service in random order; here it is that of their texts, and as each
// is put at the head of the list, rr takes them in the opposite order.
type ipvsProxier struct {
	family    packet.Family
	config    service.ProxyConfig
	node      service.Node // as at the start
	profile   datapath.Profile
	tracker   tracker
	scheduler string

	synced    bool // some sync was begun: weights are corrected at the first alone
	waiting   map[string]waiting
	nextCheck time.Duration
}

func newIPVS(f packet.Family, s service.State, profile datapath.Profile) (*ipvsProxier, error) {
	p := &ipvsProxier{family: f, config: s.Config, node: s.Node, profile: profile, scheduler: s.Config.IPVS.Scheduler,
		tracker: tracker{family: f, node: s.Node.Name}, waiting: map[string]waiting{}}
	if p.scheduler == "" {
		p.scheduler = defaultScheduler
	}
	// kube-proxy tries the scheduler with a virtual server of a documentation address (pkg/proxy/ipvs/supported.go).
	probe := ipvs.ServiceConfig{Scheduler: p.scheduler,
		Key: ipvs.AddressService(packet.TCP, netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, 0}), 20000))}
	if err := ipvs.NewTable(profile.IPVS).AddService(probe); err != nil {
		return nil, &CannotUseIPVSError{Scheduler: p.scheduler, Err: err}
	}
	return p, nil
}

// Kernels by whose version net.ipv4.vs.conn_reuse_mode is told apart (pkg/util/kernel/constants.go): from the first it
// exists, from the second its default does no harm.
const (
	reuseModeExists = "4.1"
	reuseModeFixed  = "5.9"
)

// Start sets kernel parameters and timeouts (NewProxier).
func (p *ipvsProxier) Start(h Host) Result {
	r := run{host: h, Result: Result{Dumps: -1}}
	host, ok := h.(IPVSHost)
	if !ok {
		r.Err = &UnsupportedHostError{}
		return r.Result
	}
	ensure := func(key, value string) {
		if host.SysctlValue(key) != value {
			r.do(datapath.Sysctl{Key: key, Value: value})
		}
	}
	ensure("net.ipv4.vs.conntrack", "1")
	switch {
	case kernelBefore(p.profile.Kernel, reuseModeExists):
		r.logf("ERROR Can't set sysctl, kernel version doesn't satisfy minimum version requirements sysctl=net/ipv4/vs/conn_reuse_mode minimumKernelVersion=", reuseModeExists)
	case kernelBefore(p.profile.Kernel, reuseModeFixed):
		ensure("net.ipv4.vs.conn_reuse_mode", "0")
	}
	ensure("net.ipv4.vs.expire_nodest_conn", "1")
	ensure("net.ipv4.vs.expire_quiescent_template", "1")
	ensure("net.ipv4.ip_forward", "1")
	c := p.config.IPVS
	if c.StrictARP {
		ensure("net.ipv4.conf.all.arp_ignore", "1")
		ensure("net.ipv4.conf.all.arp_announce", "2")
	}
	if c.TCPTimeout > 0 || c.TCPFinTimeout > 0 || c.UDPTimeout > 0 {
		t := ipvs.Timeouts{TCP: c.TCPTimeout.Truncate(time.Second), TCPFIN: c.TCPFinTimeout.Truncate(time.Second), UDP: c.UDPTimeout.Truncate(time.Second)}
		if err := r.do(datapath.IPVSTimeouts{Timeouts: t}); err != nil {
			r.logf("ERROR Failed to configure IPVS timeouts err=", err.Error())
		}
	}
	r.logf("Not syncing ipvs rules until Services and Endpoints have been received from master")
	return r.Result
}

// kernelBefore compares releases such as "5.4.0-42-generic" by their first two numbers. One that cannot be read is new.
func kernelBefore(release, than string) bool {
	a, okA := kernelVersion(release)
	b, okB := kernelVersion(than)
	return okA && okB && slices.Compare(a, b) < 0
}

func kernelVersion(release string) ([]int, bool) {
	var out []int
	for _, w := range strings.SplitN(release, ".", 3) {
		if i := strings.IndexFunc(w, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
			w = w[:i]
		}
		n, err := strconv.Atoi(w)
		if err != nil {
			break
		}
		if out = append(out, n); len(out) == 2 {
			return out, true
		}
	}
	return nil, false
}

// ipvsJumps are in the order in which kube-proxy ensures them; each is prepended.
var ipvsJumps = []jump{
	{"nat", chainServices, "OUTPUT", "", "kubernetes service portals"},
	{"nat", chainServices, "PREROUTING", "", "kubernetes service portals"},
	{"nat", chainPostrouting, "POSTROUTING", "", "kubernetes postrouting rules"},
	{"filter", chainForward, "FORWARD", "", "kubernetes forwarding rules"},
	{"filter", chainNodePort, "INPUT", "", "kubernetes health check rules"},
	{"filter", chainProxyFirewall, "INPUT", "", "kube-proxy firewall rules"},
	{"filter", chainProxyFirewall, "FORWARD", "", "kube-proxy firewall rules"},
	{"filter", chainIPVSFilter, "INPUT", "", "kubernetes ipvs access filter"},
	{"filter", chainIPVSOutFilter, "OUTPUT", "", "kubernetes ipvs access filter"},
}

// ipvsChains are made, flushed at each sync, and at a clean-up deleted.
var ipvsChains = []struct{ table, chain string }{
	{"nat", chainServices}, {"nat", chainPostrouting}, {"nat", chainNodePort}, {"nat", chainLoadBalancer}, {"nat", chainMarkMasq},
	{"filter", chainForward}, {"filter", chainNodePort}, {"filter", chainProxyFirewall}, {"filter", chainSourceRanges},
	{"filter", chainIPVSFilter}, {"filter", chainIPVSOutFilter},
}

// ipvsSync is one sync under way.
type ipvsSync struct {
	run
	p        *ipvsProxier
	ipvsHost IPVSHost
	family   packet.Family
	topology service.Topology
	detect   localDetector
	nodeIP   netip.Addr

	bound       map[netip.Addr]bool // on kube-ipvs0 before
	own         map[netip.Addr]bool // on other interfaces
	nodePortIPs []netip.Addr        // that node ports are served on
	services    map[ipvs.ServiceKey]bool
	addresses   map[netip.Addr]bool // that shall be on kube-ipvs0
	want        wantedEntries
	barred      []barredAddress
}

// barredAddress is a load-balancer address that this node itself may not use.
type barredAddress struct {
	addr  netip.Addr
	proto packet.Protocol
	port  uint16
}

// Sync brings the node to the state.
func (p *ipvsProxier) Sync(now time.Duration, s service.State, h Host, _ Options) (Result, error) {
	host, ok := h.(IPVSHost)
	if !ok {
		return Result{}, &UnsupportedHostError{}
	}
	start := &service.State{Config: p.config, Node: p.node}
	x := &ipvsSync{run: run{host: h, Result: Result{Kind: Compare, Dumps: -1}}, p: p, ipvsHost: host, family: p.family,
		detect: newLocalDetector(start, p.family), nodeIP: NodeIP(start, p.family), bound: map[netip.Addr]bool{}, own: map[netip.Addr]bool{},
		services: map[ipvs.ServiceKey]bool{}, addresses: map[netip.Addr]bool{}, want: wantedEntries{}}
	switch {
	case !p.synced:
		p.nextCheck = now + gracefulInterval
	case p.nextCheck <= now:
		c := p.Check(now, h)
		x.Ops, x.Failed = c.Ops, c.Failed
	}
	changed := p.tracker.update(&s)
	x.Asked = changed.any()
	x.topology = service.Topology{Node: p.node.Name, Zone: p.tracker.zone}
	x.Err = x.sync(start)
	p.synced = true
	if x.Err == nil && changed.udp {
		x.Dumps = 0
		x.cleanUDP(&p.tracker)
	}
	return x.Result, nil
}

// sync does what a sync does before the clean-up of flows. An error ends it, and nothing is tried again before the next.
func (x *ipvsSync) sync(start *service.State) error {
	x.ensureChains()
	if _, ok := x.ipvsHost.Addresses(DummyInterface); !ok {
		if err := x.do(datapath.LinkAdd{Interface: DummyInterface}); err != nil {
			x.logf("ERROR Failed to create dummy interface interface=", DummyInterface, " err=", err.Error())
			return err
		}
	}
	for i := range ipvsSets {
		o := createSet(ipvsSets[i].set, ipvsSets[i].typ, x.family)
		_, exists := x.ipvsHost.SetEntries(o.Name)
		x.count("ipset create -exist")
		if err := x.host.Run(o); err != nil {
			x.Ops, x.Failed = append(x.Ops, o), append(x.Failed, true)
			return err
		}
		if !exists {
			x.Ops, x.Failed = append(x.Ops, o), append(x.Failed, false)
		}
	}
	x.readAddresses(start)
	ports := x.p.tracker.ports
	for i := range ports {
		x.port(&ports[i], x.p.tracker.backends[ports[i].PortName])
	}
	for a := range x.addresses {
		x.want.add(setAddresses, a.String())
	}
	x.syncSets()

	x.count("iptables-restore")
	if err := x.do(datapath.IPTablesRestore{Family: x.family, NoFlush: true, Counters: true, Text: x.rules()}); err != nil {
		x.logf("ERROR Failed to execute iptables-restore err=", err.Error())
		return err
	}
	x.unbind()
	x.deleteServices()
	return nil
}

// ensureChains makes the chains and the jumps to them where they are missing.
func (x *ipvsSync) ensureChains() {
	for _, c := range ipvsChains {
		x.count("EnsureChain")
		x.try(datapath.IPTablesExec{Family: x.family, Args: "-t " + c.table + " -N " + c.chain}) // fails where the chain exists
	}
	for _, j := range ipvsJumps {
		x.count("EnsureRule")
		if x.host.Run(datapath.IPTablesExec{Family: x.family, Args: "-t " + j.table + " -C " + j.rule()}) == nil {
			continue
		}
		if err := x.do(datapath.IPTablesExec{Family: x.family, Args: "-t " + j.table + " -I " + j.rule()}); err != nil {
			x.logf("ERROR Failed to ensure chain jumps table=", j.table, " srcChain=", j.from, " dstChain=", j.to, " err=", err.Error())
		}
	}
}

// readAddresses finds what is bound already and where node ports are served: on the node's addresses that are not loopback
// or, in IPv6, link-local.
func (x *ipvsSync) readAddresses(start *service.State) {
	list, _ := x.ipvsHost.Addresses(DummyInterface)
	for _, a := range list {
		if x.counts(a) {
			x.bound[a] = true
		}
	}
	nodePorts := newNodePortAddresses(start, x.p.config.NodePortAddresses, x.family)
	local := localAddresses(&x.p.node, x.family)
	for _, a := range local {
		if x.counts(a) {
			x.own[a] = true
		}
	}
	if nodePorts.all {
		nodePorts.prefixes = []netip.Prefix{netip.PrefixFrom(local[0], 0)}
	}
	for _, a := range nodePorts.match(local) {
		if !a.IsLoopback() && (x.own[a] || !nodePorts.all) {
			x.nodePortIPs = append(x.nodePortIPs, a)
		}
	}
}

// counts reports whether kube-proxy looks at an address of an interface at all.
func (x *ipvsSync) counts(a netip.Addr) bool {
	return packet.FamilyOf(a) == x.family && !a.IsLoopback() && !(a.Is6() && a.IsLinkLocalUnicast())
}

// unbind takes addresses off kube-ipvs0 that no Service has any more.
func (x *ipvsSync) unbind() {
	var gone []string
	for a := range x.bound {
		if !x.addresses[a] {
			gone = append(gone, a.String())
		}
	}
	if len(gone) == 0 {
		return
	}
	slices.Sort(gone)
	x.logf("Removing addresses interface=", DummyInterface, " addresses=map[", strings.Join(gone, ":{} "), ":{}]")
	for _, g := range gone {
		a := netip.MustParseAddr(g)
		if err := x.do(datapath.AddressDelete{Interface: DummyInterface, Prefix: netip.PrefixFrom(a, a.BitLen())}); err != nil {
			x.logf("ERROR UnbindAddress interface=", DummyInterface, " address=", g, " err=", err.Error())
		}
	}
}

// deleteServices deletes virtual servers of the family that no Service has, whoever made them, except those in excludeCIDRs.
func (x *ipvsSync) deleteServices() {
	list := x.ipvsHost.VirtualServers()
	SortVirtual(list)
	for _, s := range list {
		if s.Key.Mark != 0 || s.Key.Family != x.family || x.services[s.Key] || x.excluded(s.Key.Addr.Addr()) {
			continue
		}
		if err := x.do(datapath.IPVSServiceDelete{Key: s.Key}); err != nil {
			x.logf("ERROR Failed to delete service virtualServer=", virtualName(s.Key), " err=", err.Error())
		}
	}
}

func (x *ipvsSync) excluded(a netip.Addr) bool {
	return slices.ContainsFunc(x.p.config.IPVS.ExcludeCIDRs, func(p netip.Prefix) bool { return p.Contains(a) })
}

// SortVirtual puts virtual services in the order in which they are told of here: by protocol option and address as text.
func SortVirtual(list []ipvs.ServiceConfig) {
	slices.SortFunc(list, func(a, b ipvs.ServiceConfig) int { return strings.Compare(a.Key.String(), b.Key.String()) })
}

// gracefulError is kube-proxy's trouble with a server that shall go.
type gracefulError struct{ server, reason string }

func (e *gracefulError) Error() string { return fmt.Sprintf("%s: %q", e.reason, e.server) }
