package kubeproxy

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/svclab/svclab/datapath/service"
)

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
