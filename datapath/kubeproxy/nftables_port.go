package kubeproxy

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath/service"
)

// nftPort is what the elements, chains and rules of one Service port have in common.
type nftPort struct {
	*nftWriter
	*nftContainers
	p        *service.Port
	use      service.Usable
	name     string // "ns/name:port"
	proto    string
	port     string
	chains   NFTNames
	write    bool // its chains go into the transaction; else they are only noted
	internal bool // the cluster IP leads to an endpoint
	external bool // traffic from outside to external addresses leads to an endpoint
}

// nftContainers are the sets and maps whose elements Services ask for, in the order in which they are cleaned up.
type nftContainers struct {
	clusterIPs, serviceIPs, firewallIPs, noEndpoints, noEndpointsNode, served, hairpin, rejected *nftElements
}

func newContainers() nftContainers {
	return nftContainers{
		newElements("set", nftClusterIPs), newElements("map", nftServiceIPs), newElements("map", nftFirewallIPs),
		newElements("map", nftNoEndpoints), newElements("map", nftNoEndpointsNode), newElements("map", nftServiceNodePorts),
		newElements("set", nftHairpin), newElements("map", nftLocalhostRejected),
	}
}

func (c *nftContainers) all() []*nftElements {
	return []*nftElements{c.clusterIPs, c.serviceIPs, c.firewallIPs, c.noEndpoints, c.noEndpointsNode, c.served, c.hairpin, c.rejected}
}

// service writes what one Service port needs. Elements are always gone through, chains only if write is set.
func (w *nftWriter) service(c *nftContainers, p *service.Port, all []service.Backend, write bool) {
	r := nftPort{nftWriter: w, nftContainers: c, p: p, use: service.Select(p, all, w.topology), name: p.PortName.String(),
		proto: p.Protocol.String(), port: strconv.Itoa(int(p.Port)), chains: NFTNamesOf(p.PortName), write: write}
	r.internal = r.use.Any && !(p.InternalLocal && len(r.use.Local) == 0)
	r.external = r.use.Any && !(p.ExternalLocal && len(r.use.Local) == 0)
	r.noteChains()
	r.frontEnds()
	if write {
		r.ownChains()
	}
}

func (r *nftPort) usesCluster() bool { return len(r.use.Cluster) > 0 && r.p.UsesClusterEndpoints() }
func (r *nftPort) usesLocal() bool   { return len(r.use.Local) > 0 && r.p.UsesLocalEndpoints() }
func (r *nftPort) usesExternal() bool {
	return r.use.Any && r.p.ExternallyAccessible()
}
func (r *nftPort) firewalled() bool {
	return len(r.p.LoadBalancerIPs) > 0 && len(r.p.SourceRanges) > 0
}

// noteChains marks the chains and sets in use and makes those that are to be written.
func (r *nftPort) noteChains() {
	for i := range r.use.Reachable {
		b := &r.use.Reachable[i]
		if r.p.AffinityTimeout > 0 {
			chain, set := NFTEndpoint(r.p.PortName, b)
			r.need(chain, r.write)
			r.affinity[set] = true
		}
		if b.Local { // a Pod that reaches itself through its Service must see another source than its own address
			addr := b.Addr.Addr().String()
			r.hairpin.ensure(r.nftWriter, addr+" . "+addr+" . "+r.proto+" . "+strconv.Itoa(int(b.Addr.Port())), "", "")
		}
	}
	if r.usesCluster() {
		r.need(r.chains.Cluster, r.write)
	}
	if r.usesLocal() {
		r.need(r.chains.Local, r.write)
	}
	if r.usesExternal() {
		r.need(r.chains.External, r.write)
	}
	if r.firewalled() {
		r.need(r.chains.Firewall, r.write)
	}
}

// refusal is the verdict for a front end that leads nowhere: a Service without any endpoint is refused, one whose policy
// leaves none is dropped.
func (r *nftPort) refusal() string {
	if !r.use.Any {
		return "goto " + nftReject
	}
	return "drop"
}

// frontEnds asks for the elements of the shared sets and maps.
func (r *nftPort) frontEnds() {
	p, w := r.p, r.nftWriter
	key := func(a netip.Addr) string { return a.String() + " . " + r.proto + " . " + r.port }
	r.clusterIPs.ensure(w, p.ClusterIP.String(), "", "")
	if r.internal {
		chain := r.chains.Cluster
		if p.InternalLocal {
			chain = r.chains.Local
		}
		r.serviceIPs.ensure(w, key(p.ClusterIP), "goto "+chain, "")
	} else {
		r.noEndpoints.ensure(w, key(p.ClusterIP), r.refusal(), r.name)
	}
	for _, a := range p.ExternalIPs {
		if r.use.Any {
			r.serviceIPs.ensure(w, key(a), "goto "+r.chains.External, "")
		}
		if !r.external {
			r.noEndpoints.ensure(w, key(a), r.refusal(), r.name)
		}
	}
	for _, a := range p.LoadBalancerIPs {
		if r.use.Any {
			r.serviceIPs.ensure(w, key(a), "goto "+r.chains.External, "")
		}
		if r.firewalled() {
			r.firewallIPs.ensure(w, key(a), "goto "+r.chains.Firewall, "")
		}
	}
	if !r.external {
		for _, a := range p.LoadBalancerIPs {
			r.noEndpoints.ensure(w, key(a), r.refusal(), r.name)
		}
	}
	if p.NodePort != 0 {
		key := r.proto + " . " + strconv.Itoa(int(p.NodePort))
		if slices.Contains(r.refused, p.Protocol) {
			r.rejected.ensure(w, key, "goto "+localhostChain(p.Protocol), "")
		}
		if r.use.Any {
			r.served.ensure(w, key, "goto "+r.chains.External, "")
		}
		if !r.external {
			r.noEndpointsNode.ensure(w, key, r.refusal(), r.name)
		}
	}
}

// ownChains writes the rules of the port's own chains.
func (r *nftPort) ownChains() {
	if r.usesExternal() {
		r.externalChain()
	}
	if r.firewalled() {
		r.firewallChain()
	}
	if r.p.AffinityTimeout > 0 {
		r.affinitySets()
	}
	if r.usesCluster() {
		r.spread(r.chains.Cluster, r.use.Cluster)
	}
	if r.usesLocal() {
		r.spread(r.chains.Local, r.use.Local)
	}
	if r.p.AffinityTimeout > 0 {
		for i := range r.use.Reachable {
			b := &r.use.Reachable[i]
			chain, set := NFTEndpoint(r.p.PortName, b)
			r.rule(chain, "update @"+set+" { "+r.ip+" saddr }")
			r.rule(chain, "meta l4proto "+r.proto+" dnat to "+b.Addr.String())
		}
	}
}

// externalChain writes what traffic to external addresses and node ports goes through.
func (r *nftPort) externalChain() {
	ext, policy := r.chains.External, r.chains.Cluster
	if !r.p.ExternalLocal {
		r.rule(ext, r.masquerade(), note("masquerade"))
	} else {
		policy = r.chains.Local
		// Traffic from this node's Pods and from the node itself is not bound by the external policy: as if it had gone out to
		// the load balancer and come back.
		if r.detect.implemented() {
			r.rule(ext, r.matchLocal(false), "goto "+r.chains.Cluster, note("short-circuit pod traffic"))
		}
		r.rule(ext, "fib saddr type local", r.masquerade(), note("masquerade local traffic"))
		r.rule(ext, "fib saddr type local goto "+r.chains.Cluster, note("short-circuit local traffic"))
	}
	if r.external {
		r.rule(ext, "goto "+policy)
	}
}

// firewallChain drops sources that may not use the load balancer.
func (r *nftPort) firewallChain() {
	var sources []string
	node := false
	for _, p := range r.p.SourceRanges {
		sources = append(sources, p.String())
		node = node || p.Contains(r.nodeIP)
	}
	if node { // from the node itself, the source is the load balancer's address where that is bound to the node
		for _, a := range r.p.LoadBalancerIPs {
			sources = append(sources, a.String())
		}
	}
	r.rule(r.chains.Firewall, r.ip+" saddr != { "+strings.Join(sources, " , ")+" } drop")
}

// affinitySets makes a set of clients for each endpoint. Packets fill it: it is declared dynamic, as the kernel would mark it.
func (r *nftPort) affinitySets() {
	seconds := strconv.FormatInt(int64(r.p.AffinityTimeout/time.Second), 10)
	for i := range r.use.Reachable {
		_, set := NFTEndpoint(r.p.PortName, &r.use.Reachable[i])
		r.op("add", "set", set+" { type "+r.addrType+" ; flags dynamic,timeout ; timeout "+seconds+"s ; }")
	}
}

// spread writes the choice of an endpoint: with affinity first the one that the client had, then one at random. A map is
// costly to load, so a single endpoint goes without.
func (r *nftPort) spread(chain string, eps []service.Backend) {
	count := strconv.Itoa(len(eps))
	var choices []string
	if r.p.AffinityTimeout > 0 {
		for i := range eps {
			ep, set := NFTEndpoint(r.p.PortName, &eps[i])
			r.rule(chain, r.ip+" saddr @"+set+" goto "+ep)
			choices = append(choices, strconv.Itoa(i)+" : goto "+ep)
		}
		r.rule(chain, "numgen random mod "+count+" vmap { "+strings.Join(choices, " , ")+" }")
		return
	}
	if len(eps) == 1 {
		r.rule(chain, "meta l4proto "+r.proto+" dnat to "+eps[0].Addr.String())
		return
	}
	for i := range eps {
		a := eps[i].Addr
		choices = append(choices, strconv.Itoa(i)+" : "+a.Addr().String()+" . "+strconv.Itoa(int(a.Port())))
	}
	r.rule(chain, "meta l4proto "+r.proto+" dnat "+r.ip+" addr . port to numgen random mod "+count+" map { "+strings.Join(choices, " , ")+" }")
}
