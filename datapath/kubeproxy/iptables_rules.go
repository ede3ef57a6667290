package kubeproxy

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

// largeClusterEndpoints is the number of endpoints above which endpoint rules go without comments and stale chains are
// deleted once per sync period only.
const largeClusterEndpoints = 1000

// Names of the nfacct counters (pkg/proxy/metrics/metrics.go).
const (
	nfacctInvalid   = "ct_state_invalid_dropped_pkts"
	nfacctLocalhost = "localhost_nps_accepted_pkts"
)

// lines collects text and counts its lines; with drop set it only counts.
type lines struct {
	buf  bytes.Buffer
	n    int
	drop bool
}

// add joins its arguments with spaces into one line; empty ones leave no trace.
func (l *lines) add(words ...string) {
	l.n++
	if l.drop {
		return
	}
	sep := false
	for _, w := range words {
		if w == "" {
			continue
		}
		if sep {
			l.buf.WriteByte(' ')
		}
		l.buf.WriteString(w)
		sep = true
	}
	l.buf.WriteByte('\n')
}

func (l *lines) chain(name string) { l.add(":"+name, "- [0:0]") }

// iptablesWriter makes the input of one iptables-restore.
type iptablesWriter struct {
	family       packet.Family
	mark         string // of masquerading, as iptables takes it
	masqAll      bool
	localhost    bool // node ports answer on 127.0.0.0/8
	nfacct       bool
	liberal      bool // nf_conntrack_tcp_be_liberal: INVALID packets may pass
	randomFully  bool
	detect       localDetector
	nodePorts    nodePortAddresses
	local        []netip.Addr
	nodeIP       netip.Addr
	topology     service.Topology
	large        bool
	filterChains lines
	filterRules  lines
	natChains    lines
	natRules     lines
	skipped      lines           // counts what a partial sync leaves out
	active       map[string]bool // nat chains that Services need, written or not
}

func comment(text string) string { return `-m comment --comment "` + text + `"` }

// begin writes the shared chains and the rules that come before those of Services.
func (w *iptablesWriter) begin() {
	w.active = map[string]bool{}
	w.skipped.drop = true
	for _, c := range [...]string{chainServices, chainExternalServices, chainForward, chainNodePorts, chainProxyFirewall} {
		w.filterChains.chain(c)
	}
	for _, c := range [...]string{chainServices, chainNodePorts, chainPostrouting, chainMarkMasq} {
		w.natChains.chain(c)
	}
	w.natRules.add("-A", chainPostrouting, "-m mark ! --mark", w.mark+"/"+w.mark, "-j RETURN")
	// The mark is taken off again, lest the packet be masqueraded once more when it passes the stack a second time.
	w.natRules.add("-A", chainPostrouting, "-j MARK --xor-mark", w.mark)
	fully := ""
	if w.randomFully {
		fully = "--random-fully"
	}
	w.natRules.add("-A", chainPostrouting, comment("kubernetes service traffic requiring SNAT"), "-j MASQUERADE", fully)
	w.natRules.add("-A", chainMarkMasq, "-j MARK --or-mark", w.mark)
	if w.localhost {
		// route_localnet, which node ports on 127.0.0.1 need, would let neighbours reach the node's loopback services.
		w.filterChains.chain(chainFirewall)
		w.filterRules.add("-A", chainFirewall, comment("block incoming localnet connections"),
			"-d 127.0.0.0/8 ! -s 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP")
	}
}

// finish writes the rules that come after those of Services.
func (w *iptablesWriter) finish() (log []string) {
	note := comment("kubernetes service nodeports; NOTE: this must be the last rule in this chain")
	if w.nodePorts.all {
		except := ""
		switch {
		case w.family == packet.IPv6: // never served on ::1
			except = "! -d " + loopbackNet[packet.IPv6].String()
		case !w.localhost:
			except = "! -d " + loopbackNet[packet.IPv4].String()
		}
		w.natRules.add("-A", chainServices, note, "-m addrtype --dst-type LOCAL", except, "-j", chainNodePorts)
	} else {
		for _, a := range w.nodePorts.match(w.local) {
			if a.IsLoopback() && !w.localhost {
				why := "--nodeport-addresses includes localhost but --iptables-localhost-nodeports=false was passed"
				if w.family == packet.IPv6 {
					why = "--nodeport-addresses includes localhost but localhost NodePorts are not supported on IPv6"
				}
				log = append(log, "ERROR "+why+" address="+a.String())
				continue
			}
			w.natRules.add("-A", chainServices, note, "-d", a.String(), "-j", chainNodePorts)
		}
	}
	if !w.liberal {
		counter := ""
		if w.nfacct {
			counter = "-m nfacct --nfacct-name " + nfacctInvalid
		}
		w.filterRules.add("-A", chainForward, "-m conntrack --ctstate INVALID", counter, "-j DROP")
	}
	w.filterRules.add("-A", chainForward, comment("kubernetes forwarding rules"), "-m mark --mark", w.mark+"/"+w.mark, "-j ACCEPT")
	w.filterRules.add("-A", chainForward, comment("kubernetes forwarding conntrack rule"), "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
	return log
}

// text is the input of iptables-restore.
func (w *iptablesWriter) text() string {
	var b strings.Builder
	b.Grow(w.filterChains.buf.Len() + w.filterRules.buf.Len() + w.natChains.buf.Len() + w.natRules.buf.Len() + 64)
	b.WriteString("*filter\n")
	b.Write(w.filterChains.buf.Bytes())
	b.Write(w.filterRules.buf.Bytes())
	b.WriteString("COMMIT\n*nat\n")
	b.Write(w.natChains.buf.Bytes())
	b.Write(w.natRules.buf.Bytes())
	b.WriteString("COMMIT\n")
	return b.String()
}

// portRules is what the rules of one Service port have in common.
type portRules struct {
	*iptablesWriter
	p          *service.Port
	use        service.Usable
	name       string // "ns/name:port"
	proto      string // "-m tcp -p tcp"
	chains     ChainNames
	internal   bool // the cluster IP leads to an endpoint
	external   bool // traffic from outside to external addresses leads to an endpoint
	refuseIn   [2]string
	refuseOut  [2]string // comment and target for what leads to none
	natChains  *lines    // of the port's own chains; the skipped ones in a partial sync
	natRules   *lines
	sharedNAT  *lines
	loadTarget string // where traffic to load-balancer addresses goes
}

// port writes the rules of one Service port; own says whether its own chains go into the text or are only counted.
func (w *iptablesWriter) port(p *service.Port, all []service.Backend, own bool) {
	r := portRules{iptablesWriter: w, p: p, use: service.Select(p, all, w.topology), name: p.PortName.String(),
		chains: NamesOf(p.PortName), natChains: &w.natChains, natRules: &w.natRules, sharedNAT: &w.natRules}
	r.proto = "-m " + p.Protocol.String() + " -p " + p.Protocol.String()
	r.internal = r.use.Any && !(p.InternalLocal && len(r.use.Local) == 0)
	r.external = r.use.Any && !(p.ExternalLocal && len(r.use.Local) == 0)
	if !r.use.Any {
		r.refuseIn = [2]string{comment(r.name + " has no endpoints"), "REJECT"}
	} else {
		r.refuseIn = [2]string{comment(r.name + " has no local endpoints"), "DROP"}
	}
	r.refuseOut = r.refuseIn
	r.loadTarget = r.chains.External
	if r.firewalled() {
		r.loadTarget = r.chains.Firewall
	}

	r.frontEnds()
	if !own {
		r.natChains, r.natRules = &w.skipped, &w.skipped
	}
	r.ownChains()
}

// firewalled reports whether loadBalancerSourceRanges guard the port's load-balancer addresses.
func (r *portRules) firewalled() bool {
	return r.use.Any && len(r.p.LoadBalancerIPs) > 0 && len(r.p.SourceRanges) > 0
}

func to(a netip.Addr, port uint16) string {
	return "-d " + a.String() + " --dport " + strconv.Itoa(int(port))
}

// frontEnds writes the port's rules in chains that all Services share.
func (r *portRules) frontEnds() {
	p := r.p
	here := to(p.ClusterIP, p.Port)
	if r.internal {
		target := r.chains.Cluster
		if p.InternalLocal {
			target = r.chains.Local
		}
		r.sharedNAT.add("-A", chainServices, comment(r.name+" cluster IP"), r.proto, here, "-j", target)
	} else {
		r.filterRules.add("-A", chainServices, r.refuseIn[0], r.proto, here, "-j", r.refuseIn[1])
	}
	refuse := func(match string) {
		if !r.external {
			r.filterRules.add("-A", chainExternalServices, r.refuseOut[0], match, "-j", r.refuseOut[1])
		}
	}
	for _, a := range p.ExternalIPs {
		if r.use.Any {
			r.sharedNAT.add("-A", chainServices, comment(r.name+" external IP"), r.proto, to(a, p.Port), "-j", r.chains.External)
		}
		refuse(r.proto + " " + to(a, p.Port))
	}
	for _, a := range p.LoadBalancerIPs {
		if r.use.Any {
			r.sharedNAT.add("-A", chainServices, comment(r.name+" loadbalancer IP"), r.proto, to(a, p.Port), "-j", r.loadTarget)
		}
		if r.firewalled() {
			r.filterRules.add("-A", chainProxyFirewall, comment(r.name+" traffic not accepted by "+r.chains.Firewall), r.proto, to(a, p.Port), "-j DROP")
		}
	}
	for _, a := range p.LoadBalancerIPs {
		refuse(r.proto + " " + to(a, p.Port))
	}
	if p.NodePort != 0 {
		dport := "--dport " + strconv.Itoa(int(p.NodePort))
		plain := "-m comment --comment " + r.name
		if r.use.Any {
			if r.localhost && r.nfacct {
				r.sharedNAT.add("-A", chainNodePorts, plain, r.proto, "-d 127.0.0.0/8", dport, "-m nfacct --nfacct-name", nfacctLocalhost, "-j", r.chains.External)
			}
			r.sharedNAT.add("-A", chainNodePorts, plain, r.proto, dport, "-j", r.chains.External)
		}
		refuse("-m addrtype --dst-type LOCAL " + r.proto + " " + dport)
	}
	if p.HealthCheckNodePort != 0 {
		r.filterRules.add("-A", chainNodePorts, comment(r.name+" health check node port"), "-m tcp -p tcp --dport", strconv.Itoa(int(p.HealthCheckNodePort)), "-j ACCEPT")
	}
}

// ownChains writes the port's own chains: SVC or SVL, EXT, FW, SEP.
func (r *portRules) ownChains() {
	p := r.p
	if r.internal {
		chain := r.chains.Cluster
		if p.InternalLocal {
			chain = r.chains.Local
		}
		which := comment(r.name+" cluster IP") + " " + r.proto + " " + to(p.ClusterIP, p.Port)
		switch {
		case r.masqAll:
			r.natRules.add("-A", chain, which, "-j", chainMarkMasq)
		case r.detect.implemented():
			// The cluster IP may be routed to this node from outside the cluster; the answer must come back this way.
			r.natRules.add("-A", chain, which, "!", r.detect.match(), "-j", chainMarkMasq)
		}
	}
	if r.use.Any && p.ExternallyAccessible() {
		r.externalChain()
	}
	if r.firewalled() {
		r.firewallChain()
	}
	if len(r.use.Cluster) > 0 && p.UsesClusterEndpoints() {
		r.spread(r.chains.Cluster, r.use.Cluster)
	}
	if len(r.use.Local) > 0 && p.UsesLocalEndpoints() {
		r.spread(r.chains.Local, r.use.Local)
	}
	for i := range r.use.Reachable {
		r.endpoint(&r.use.Reachable[i])
	}
}

func (r *portRules) open(chain string) {
	r.natChains.chain(chain)
	r.active[chain] = true
}

// externalChain writes the EXT chain: what traffic to external addresses and node ports goes through.
func (r *portRules) externalChain() {
	ext, dest := r.chains.External, r.name+" external destinations"
	r.open(ext)
	policy := r.chains.Cluster
	if !r.p.ExternalLocal {
		r.natRules.add("-A", ext, comment("masquerade traffic for "+dest), "-j", chainMarkMasq)
	} else {
		policy = r.chains.Local
		// Traffic from this node's Pods and from the node itself is not bound by the external policy: as if it had gone
		// out to the load balancer and come back.
		if r.detect.implemented() {
			r.natRules.add("-A", ext, comment("pod traffic for "+dest), r.detect.match(), "-j", r.chains.Cluster)
		}
		r.natRules.add("-A", ext, comment("masquerade LOCAL traffic for "+dest), "-m addrtype --src-type LOCAL -j", chainMarkMasq)
		r.natRules.add("-A", ext, comment("route LOCAL traffic for "+dest), "-m addrtype --src-type LOCAL -j", r.chains.Cluster)
	}
	if r.external {
		r.natRules.add("-A", ext, "-j", policy)
	}
}

// firewallChain writes the FW chain: sources that may use the load balancer. What falls through keeps its destination, and
// KUBE-PROXY-FIREWALL drops it.
func (r *portRules) firewallChain() {
	fw := r.chains.Firewall
	r.open(fw)
	which := comment(r.name + " loadbalancer IP")
	node := false
	for _, p := range r.p.SourceRanges {
		r.natRules.add("-A", fw, which, "-s", p.String(), "-j", r.chains.External)
		node = node || p.Contains(r.nodeIP)
	}
	if node { // from the node itself, the source is the load balancer's address where that is bound to the node
		for _, a := range r.p.LoadBalancerIPs {
			r.natRules.add("-A", fw, which, "-s", a.String(), "-j", r.chains.External)
		}
	}
	r.natRules.add("-A", fw, comment("other traffic to "+r.name+" will be dropped by KUBE-PROXY-FIREWALL"))
}

// spread writes the choice of an endpoint: first the one that a client with affinity had, then one at random.
func (r *portRules) spread(chain string, eps []service.Backend) {
	r.open(chain)
	arrow := func(addr string) string {
		if r.large {
			return ""
		}
		return comment(r.name + " -> " + addr)
	}
	if r.p.AffinityTimeout > 0 {
		seconds := strconv.FormatInt(int64(r.p.AffinityTimeout/time.Second), 10)
		for i := range eps {
			addr := eps[i].Addr.String()
			sep := EndpointChain(r.p.PortName, addr)
			r.natRules.add("-A", chain, arrow(addr), "-m recent --name", sep, "--rcheck --seconds", seconds, "--reap -j", sep)
		}
	}
	for i := range eps {
		addr := eps[i].Addr.String()
		share := ""
		if left := len(eps) - i; left > 1 {
			share = "-m statistic --mode random --probability " + Probability(left)
		}
		r.natRules.add("-A", chain, arrow(addr), share, "-j", EndpointChain(r.p.PortName, addr))
	}
}

// Probability spells 1/n with the ten digits kube-proxy gives.
func Probability(n int) string { return fmt.Sprintf("%0.10f", 1/float64(n)) }

// endpoint writes the SEP chain.
func (r *portRules) endpoint(b *service.Backend) {
	addr := b.Addr.String()
	sep := EndpointChain(r.p.PortName, addr)
	r.open(sep)
	which := ""
	if !r.large {
		which = "-m comment --comment " + r.name
	}
	// A Pod that reaches itself through its Service must see another source than its own address.
	r.natRules.add("-A", sep, which, "-s", b.Addr.Addr().String(), "-j", chainMarkMasq)
	set := ""
	if r.p.AffinityTimeout > 0 {
		set = "-m recent --name " + sep + " --set"
	}
	r.natRules.add("-A", sep, which, set, r.proto, "-j DNAT --to-destination", addr)
}
