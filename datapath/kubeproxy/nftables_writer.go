package kubeproxy

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/svclab/svclab/datapath/nftables"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

// nftWriter makes the input of one nft transaction.
type nftWriter struct {
	b        strings.Builder
	at       string // "ip kube-proxy"
	ip       string // ip or ip6, before saddr and daddr
	addrType string // ipv4_addr or ipv6_addr
	family   packet.Family

	mark      string // the value of masquerading
	masqAll   bool
	detect    localDetector
	nodePorts nodePortAddresses
	local     []netip.Addr
	nodeIP    netip.Addr
	topology  service.Topology
	refused   []packet.Protocol // whose node ports on loopback addresses are refused
	cidrs     string            // of Services, "" for unknown

	active   map[string]bool // chains that Services need, written or not
	affinity map[string]bool // sets that Services need
}

// op writes one command: `VERB KIND ip kube-proxy REST`.
func (w *nftWriter) op(verb, kind, rest string) {
	w.b.WriteString(verb + " " + kind + " " + w.at + " " + rest + "\n")
}

func (w *nftWriter) chain(name string) {
	w.op("add", "chain", name)
	w.op("flush", "chain", name)
}

// none makes sure that something is not there, whether it was or not.
func (w *nftWriter) none(kind, name, attributes string) {
	w.op("add", kind, name+attributes)
	w.op("delete", kind, name)
}

// rule adds a rule; empty words leave no trace.
func (w *nftWriter) rule(chain string, words ...string) {
	var kept []string
	for _, s := range words {
		if s != "" {
			kept = append(kept, s)
		}
	}
	w.op("add", "rule", chain+" "+strings.Join(kept, " "))
}

func note(text string) string { return nftComment(text)[1:] }

func set(name, of, comment string) string {
	return name + " { type " + of + " ;" + nftComment(comment) + " ; }"
}

// need marks a chain as one that Services use and writes it, unless its Service is left out of a partial sync.
func (w *nftWriter) need(chain string, write bool) {
	if w.active[chain] {
		return
	}
	w.active[chain] = true
	if write {
		w.chain(chain)
	}
}

// matchLocal is how the detector tells traffic of local Pods, or not of them.
func (w *nftWriter) matchLocal(not bool) string {
	op := " "
	if not {
		op = " != "
	}
	if w.detect.iface != "" {
		name := w.detect.iface
		if prefix, ok := strings.CutSuffix(name, "+"); ok { // the detector spells prefixes as iptables does
			name = prefix + "*"
		}
		return "iifname" + op + name
	}
	return w.ip + " saddr" + op + w.detect.source.String()
}

func (w *nftWriter) masquerade() string { return "mark set mark or " + w.mark }

// baseChain is a chain attached to a hook.
type baseChain struct {
	name, kind, hook string
	priority         string
}

// The base chains. Those before the DNAT see packets as they were sent, for loadBalancerSourceRanges.
var baseChains = []baseChain{
	{"filter-prerouting-pre-dnat", "filter", "prerouting", "-110"},
	{"filter-output-pre-dnat", "filter", "output", "-110"},
	{"filter-input", "filter", "input", "0"},
	{"filter-forward", "filter", "forward", "0"},
	{"filter-output", "filter", "output", "0"},
	{"nat-prerouting", "nat", "prerouting", "-100"},
	{"nat-output", "nat", "output", "-100"},
	{"nat-postrouting", "nat", "postrouting", "100"},
}

// nftJumps lead from base chains to shared chains, in the order in which they are written.
var nftJumps = []struct{ to, from, match string }{
	{nftNodePortCheck, "filter-input", "ct state new"},
	{nftServiceCheck, "filter-input", "ct state new"},
	{nftServiceCheck, "filter-forward", "ct state new"},
	{nftServiceCheck, "filter-output", "ct state new"},
	{nftFirewallCheck, "filter-prerouting-pre-dnat", "ct state new"},
	{nftFirewallCheck, "filter-output-pre-dnat", "ct state new"},
	{nftServices, "nat-output", ""},
	{nftServices, "nat-prerouting", ""},
	{nftMasquerading, "nat-postrouting", ""},
	{nftClusterIPCheck, "filter-forward", "ct state new"},
	{nftClusterIPCheck, "filter-output", "ct state new"},
}

// setup writes what all Services share. A process that starts first takes the base chains away, since a chain's hook and
// priority cannot be changed.
func (w *nftWriter) setup(started bool) {
	w.b.WriteString("add table " + w.at + " {" + nftComment("rules for kube-proxy") + " ; }\n")
	if !started {
		for _, c := range baseChains {
			w.none("chain", c.name, "")
		}
	}
	for _, c := range baseChains {
		w.op("add", "chain", c.name+" { type "+c.kind+" hook "+c.hook+" priority "+c.priority+" ; }")
		w.op("flush", "chain", c.name)
	}
	made := map[string]bool{}
	for _, j := range nftJumps {
		if !made[j.to] {
			made[j.to] = true
			w.chain(j.to)
		}
		w.rule(j.from, j.match, "jump "+j.to)
	}
	w.setupMasquerading()
	w.setupClusterIPs()
	w.setupNodePorts()
	w.setupNoEndpoints()
	w.setupLocalhost()
	w.setupDispatch()
}

// key is what maps of addresses are looked up by.
func (w *nftWriter) key() string { return w.ip + " daddr . meta l4proto . th dport" }

func (w *nftWriter) setupMasquerading() {
	w.op("add", "set", set(nftHairpin, w.addrType+" . "+w.addrType+" . inet_proto . inet_service", "service hairpin connections"))
	// The mark is taken off again, lest the packet be masqueraded once more when it passes the stack a second time.
	w.rule(nftMasquerading, "mark and "+w.mark+" != 0 mark set mark xor "+w.mark+" masquerade fully-random")
	w.rule(nftMasquerading, "ct status dnat "+w.ip+" saddr . "+w.key()+" @"+nftHairpin+" masquerade fully-random")
}

func (w *nftWriter) setupClusterIPs() {
	w.op("add", "set", set(nftClusterIPs, w.addrType, "Active ClusterIPs"))
	w.rule(nftClusterIPCheck, w.ip+" daddr @"+nftClusterIPs+" reject", note("Reject traffic to invalid ports of ClusterIPs"))
	if w.cidrs != "" {
		w.rule(nftClusterIPCheck, w.ip+" daddr { "+w.cidrs+" } drop", note("Drop traffic to unallocated ClusterIPs"))
	}
}

// loopback spells what is never served as a node port.
func (w *nftWriter) loopback() string {
	if w.family == packet.IPv6 {
		return loopback[packet.IPv6].String()
	}
	return loopbackNet[packet.IPv4].String()
}

// nodePortMatch is the match for addresses that node ports are served on.
func (w *nftWriter) nodePortMatch() string {
	if w.nodePorts.all {
		return w.ip + " daddr != " + w.loopback()
	}
	return w.ip + " daddr @" + nftNodePortIPs
}

func (w *nftWriter) setupNodePorts() {
	w.op("add", "set", set(nftNodePortIPs, w.addrType, "IPs that accept NodePort traffic"))
	if w.nodePorts.all {
		w.op("delete", "set", nftNodePortIPs)
		return
	}
	w.op("flush", "set", nftNodePortIPs)
	for _, a := range w.nodePorts.match(w.local) {
		if !a.IsLoopback() {
			w.op("add", "element", nftNodePortIPs+" { "+a.String()+" }")
		}
	}
}

func (w *nftWriter) setupNoEndpoints() {
	w.op("add", "map", set(nftNoEndpoints, w.addrType+" . inet_proto . inet_service : verdict", "vmap to drop or reject packets to services with no endpoints"))
	w.op("add", "map", set(nftNoEndpointsNode, "inet_proto . inet_service : verdict", "vmap to drop or reject packets to service nodeports with no endpoints"))
	w.op("add", "chain", nftReject+" {"+nftComment("helper for @no-endpoint-services / @no-endpoint-nodeports")+" ; }")
	w.op("flush", "chain", nftReject)
	w.rule(nftReject, "reject")
	w.rule(nftServiceCheck, w.key(), "vmap @"+nftNoEndpoints)
	w.rule(nftNodePortCheck, w.nodePortMatch(), "meta l4proto . th dport vmap @"+nftNoEndpointsNode)
}

// setupLocalhost refuses and counts traffic to node ports on loopback addresses, for the protocols of w.refused, or takes away
// what an earlier process left: chains before the counters they refer to.
func (w *nftWriter) setupLocalhost() {
	rejected := set(nftLocalhostRejected, "inet_proto . inet_service : verdict", "localhost NodePorts rejected by kube-proxy")
	w.op("add", "map", rejected)
	if len(w.refused) == 0 {
		w.op("delete", "map", nftLocalhostRejected)
	}
	for _, p := range w.refused {
		counter := localhostCounter(p)
		w.op("add", "counter", counter)
		w.chain(localhostChain(p))
		w.rule(localhostChain(p), `counter name "`+counter+`" reject`)
	}
	if len(w.refused) > 0 {
		w.rule(nftNodePortCheck, w.ip+" daddr "+w.loopback(), "meta l4proto . th dport vmap @"+nftLocalhostRejected)
	}
	for _, p := range [...]packet.Protocol{packet.TCP, packet.UDP, packet.SCTP} {
		if !slices.Contains(w.refused, p) {
			w.none("chain", localhostChain(p), "")
			w.none("counter", localhostCounter(p), "")
		}
	}
}

func localhostChain(p packet.Protocol) string   { return "localhost-nodeport-reject-" + p.String() }
func localhostCounter(p packet.Protocol) string { return "localhost-nodeport-rejected-" + p.String() }

func (w *nftWriter) setupDispatch() {
	w.op("add", "map", set(nftFirewallIPs, w.addrType+" . inet_proto . inet_service : verdict", "destinations that are subject to LoadBalancerSourceRanges"))
	w.rule(nftFirewallCheck, w.key(), "vmap @"+nftFirewallIPs)
	w.op("add", "map", set(nftServiceIPs, w.addrType+" . inet_proto . inet_service : verdict", "ClusterIP, ExternalIP and LoadBalancer IP traffic"))
	w.op("add", "map", set(nftServiceNodePorts, "inet_proto . inet_service : verdict", "NodePort traffic"))
	cluster := w.ip + " daddr @" + nftClusterIPs
	switch {
	case w.masqAll:
		w.rule(nftServices, cluster, w.masquerade(), note("masquerade all clusterIP traffic"))
	case w.detect.implemented():
		// The cluster IP may be routed to this node from outside the cluster; the answer must come back this way.
		w.rule(nftServices, cluster, w.matchLocal(true), w.masquerade(), note("masquerade clusterIP traffic from outside cluster"))
	}
	w.rule(nftServices, w.key(), "vmap @"+nftServiceIPs)
	here := w.nodePortMatch()
	if w.nodePorts.all {
		here = "fib daddr type local " + here
	}
	w.rule(nftServices, here, "meta l4proto . th dport vmap @"+nftServiceNodePorts)
}

// nftElements is what kube-proxy remembers of a set or map, so that a sync writes differences only.
type nftElements struct {
	kind, name string
	values     map[string]string // by key; "" in a set
	left       map[string]bool   // keys that this sync has not asked for yet
}

func newElements(kind, name string) *nftElements {
	return &nftElements{kind: kind, name: name, values: map[string]string{}, left: map[string]bool{}}
}

// read takes over what is there.
func (e *nftElements) read(t *nftables.Table) {
	clear(e.values)
	if t != nil && t.Set(e.name) != nil {
		for _, x := range t.Set(e.name).Elements() {
			e.values[x.KeyText()] = x.Value()
		}
	}
	e.reset()
}

func (e *nftElements) reset() {
	clear(e.left)
	for k := range e.values {
		e.left[k] = true
	}
}

// ensure writes an element that is not there, or leads elsewhere.
func (e *nftElements) ensure(w *nftWriter, key, value, comment string) {
	have, ok := e.values[key]
	if ok {
		delete(e.left, key)
		if have == value {
			return
		}
		w.op("delete", "element", e.name+" { "+key+" }")
	}
	if comment != "" {
		comment = nftComment(comment)
	}
	if value != "" {
		w.op("add", "element", e.name+" { "+key+comment+" : "+value+" }")
	} else {
		w.op("add", "element", e.name+" { "+key+comment+" }")
	}
	e.values[key] = value
}

// cleanup deletes what no Service asked for.
func (e *nftElements) cleanup(w *nftWriter) {
	for _, k := range sortedKeys(e.left) {
		w.op("delete", "element", e.name+" { "+k+" }")
		delete(e.values, k)
	}
	e.reset()
}
