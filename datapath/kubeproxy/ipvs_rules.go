package kubeproxy

import (
	"fmt"
	"strconv"
)

// Chains of the ipvs mode alone (pkg/proxy/ipvs/proxier.go, v1.37); it also has KUBE-SERVICES, KUBE-POSTROUTING,
// KUBE-MARK-MASQ, KUBE-FORWARD and KUBE-PROXY-FIREWALL of the iptables mode, with other rules.
const (
	chainNodePort      = "KUBE-NODE-PORT"
	chainLoadBalancer  = "KUBE-LOAD-BALANCER"
	chainSourceRanges  = "KUBE-SOURCE-RANGES-FIREWALL"
	chainIPVSFilter    = "KUBE-IPVS-FILTER"
	chainIPVSOutFilter = "KUBE-IPVS-OUT-FILTER"
)

// setRule is a rule that stands only while its set shall hold something.
type setRule struct {
	set                 ipvsSet
	filter              bool // else nat
	chain, target, dims string
	proto               string
}

// setRules are in kube-proxy's order: what is local comes before what is masqueraded.
var setRules = []setRule{
	{set: setLoopBack, chain: chainPostrouting, target: "MASQUERADE", dims: "dst,dst,src"},
	{set: setLoadBalancer, chain: chainServices, target: chainLoadBalancer, dims: "dst,dst"},
	{set: setLBLocal, chain: chainLoadBalancer, target: "RETURN", dims: "dst,dst"},
	{set: setLocalPortTCP, chain: chainNodePort, target: "RETURN", dims: "dst", proto: "tcp"},
	{set: setNodePortTCP, chain: chainNodePort, target: chainMarkMasq, dims: "dst", proto: "tcp"},
	{set: setLocalPortUDP, chain: chainNodePort, target: "RETURN", dims: "dst", proto: "udp"},
	{set: setNodePortUDP, chain: chainNodePort, target: chainMarkMasq, dims: "dst", proto: "udp"},
	{set: setLocalPortSCTP, chain: chainNodePort, target: "RETURN", dims: "dst,dst", proto: "sctp"},
	{set: setNodePortSCTP, chain: chainNodePort, target: chainMarkMasq, dims: "dst,dst", proto: "sctp"},
	{set: setLBFirewall, filter: true, chain: chainProxyFirewall, target: chainSourceRanges, dims: "dst,dst"},
	{set: setLBSourceCIDR, filter: true, chain: chainSourceRanges, target: "RETURN", dims: "dst,dst,src"},
	{set: setLBSourceIP, filter: true, chain: chainSourceRanges, target: "RETURN", dims: "dst,dst,src"},
}

// ipvsRules makes the input of one iptables-restore.
type ipvsRules struct {
	*ipvsSync
	nat, filter lines
}

// rules writes the chains and their rules. Their number does not depend on that of Services: the sets hold those.
func (x *ipvsSync) rules() string {
	w := ipvsRules{ipvsSync: x}
	w.nat.add("*nat")
	w.filter.add("*filter")
	for _, c := range ipvsChains {
		w.table(c.table == "filter").chain(c.chain)
	}
	w.nat.add("-A", chainServices, "-s", loopbackNet[x.family].String(), "-j RETURN")
	for _, r := range setRules {
		if len(x.want[r.set]) == 0 {
			continue
		}
		proto := ""
		if r.proto != "" {
			proto = "-p " + r.proto
		}
		w.table(r.filter).add("-A", r.chain, proto, r.set.comment(), w.match(r.set, r.dims), "-j", r.target)
	}
	w.clusterIPs()
	if len(x.want[setExternalIP]) > 0 {
		which := setExternalIP.comment() + " " + w.match(setExternalIP, "dst,dst")
		w.nat.add("-A", chainServices, which, "-j", chainMarkMasq)
		w.external(which)
	}
	if len(x.want[setExternalLocal]) > 0 {
		w.external(setExternalLocal.comment() + " " + w.match(setExternalLocal, "dst,dst"))
	}
	w.nat.add("-A", chainServices, "-m addrtype --dst-type LOCAL -j", chainNodePort)
	w.nat.add("-A", chainLoadBalancer, "-j", chainMarkMasq)
	w.filter.add("-A", chainSourceRanges, "-j DROP")
	for _, b := range x.barred { // IPVS sends from the virtual address here, so source and destination are the same
		w.filter.add("-A", chainIPVSOutFilter, "-s", b.addr.String(), "-m ipvs --vaddr", b.addr.String(),
			"--vproto", b.proto.String(), "--vport", strconv.Itoa(int(b.port)), "-j DROP")
	}
	for _, s := range [...]ipvsSet{setClusterIP, setLoadBalancer} { // last, before rules of others
		if len(x.want[s]) > 0 {
			w.nat.add("-A", chainServices, w.match(s, "dst,dst"), "-j ACCEPT")
		}
	}
	w.fixed()
	return w.nat.buf.String() + w.filter.buf.String()
}

func (w *ipvsRules) table(filter bool) *lines {
	if filter {
		return &w.filter
	}
	return &w.nat
}

func (w *ipvsRules) match(s ipvsSet, dims string) string {
	return "-m set --match-set " + s.name(w.family) + " " + dims
}

// clusterIPs masquerades traffic to cluster IPs that does not come from Pods of this node.
func (w *ipvsRules) clusterIPs() {
	if len(w.want[setClusterIP]) == 0 {
		return
	}
	which := setClusterIP.comment() + " "
	switch {
	case w.p.config.MasqueradeAll:
		w.nat.add("-A", chainServices, which+w.match(setClusterIP, "dst,dst"), "-j", chainMarkMasq)
	case w.detect.implemented():
		w.nat.add("-A", chainServices, which+w.match(setClusterIP, "dst,dst"), "!", w.detect.match(), "-j", chainMarkMasq)
	default:
		// The node itself takes the cluster IP for its source, as that is bound to kube-ipvs0.
		w.nat.add("-A", chainServices, which+w.match(setClusterIP, "src,dst"), "-j", chainMarkMasq)
	}
}

// external accepts traffic to external IPs that comes from off the machine, or whose address is the node's own.
func (w *ipvsRules) external(which string) {
	w.nat.add("-A", chainServices, which, "-m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT")
	w.nat.add("-A", chainServices, which, "-m addrtype --dst-type LOCAL -j ACCEPT")
}

// fixed writes the rules that are there whatever the Services are.
func (w *ipvsRules) fixed() {
	bit := fmt.Sprintf("%#08x", uint32(1)<<uint(w.p.config.MasqueradeBit))
	mark := bit + "/" + bit
	w.filter.add("-A", chainForward, comment("kubernetes forwarding rules"), "-m mark --mark", mark, "-j ACCEPT")
	w.filter.add("-A", chainForward, comment("kubernetes forwarding conntrack rule"), "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
	w.filter.add("-A", chainNodePort, setHealthNodePort.comment(), w.match(setHealthNodePort, "dst"), "-j ACCEPT")

	// Ports of the host that are not Services must not be reached by addresses of Services.
	for _, s := range [...]ipvsSet{setLoadBalancer, setClusterIP, setExternalIP, setExternalLocal} {
		w.filter.add("-A", chainIPVSFilter, w.match(s, "dst,dst"), "-j RETURN")
	}
	w.filter.add("-A", chainIPVSFilter, w.match(setHealthNodePort, "dst"), "-j RETURN")
	w.filter.add("-A", chainIPVSFilter, "-m conntrack --ctstate NEW", w.match(setAddresses, "dst"), "-j REJECT")

	w.nat.add("-A", chainPostrouting, "-m mark ! --mark", mark, "-j RETURN")
	w.nat.add("-A", chainPostrouting, "-j MARK --xor-mark", bit)
	w.nat.add("-A", chainPostrouting, comment("kubernetes service traffic requiring SNAT"), "-j MASQUERADE --random-fully")
	w.nat.add("-A", chainMarkMasq, "-j MARK --or-mark", bit)
	w.filter.add("COMMIT")
	w.nat.add("COMMIT")
}
