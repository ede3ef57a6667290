package emulator

import (
	"net/netip"
	"slices"
)

// scope is what is of the emulated cluster: addresses of nodes, Pods, endpoints and Services, and the ranges that the cluster has for
// them. It does not change once it is made.
type scope struct {
	prefixes []netip.Prefix
	addrs    map[netip.Addr]bool
	bare     map[netip.Addr]bool // of those, the addresses of Nodes that are not modelled
}

// holds reports whether an address is in it. Loopback and group addresses are never.
func (s *scope) holds(a netip.Addr) bool {
	if a.IsLoopback() || a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() {
		return false
	}
	return s.addrs[a] || slices.ContainsFunc(s.prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// scopeOf is the scope of the objects as they are, and of what listens.
func (e *Emulator) scopeOf(listening map[place]tenant) *scope {
	s := e.subject
	out := &scope{addrs: map[netip.Addr]bool{}, bare: map[netip.Addr]bool{}}
	for _, a := range s.NodeAddrs() {
		out.bare[a] = !e.isNode(a)
	}
	for _, list := range [][]netip.Prefix{s.Host.PodCIDRs, s.State.Config.ClusterCIDRs, s.State.ServiceCIDRs, s.PodCIDRs()} {
		out.prefixes = append(out.prefixes, list...)
	}
	add := func(list ...netip.Addr) {
		for _, a := range list {
			out.addrs[a] = true
		}
	}
	add(s.Host.NodeIPs...)
	add(s.NodeAddrs()...)
	add(e.client.Addrs...)
	add(e.shellAddrs...)
	for at := range listening {
		add(at.at.Addr())
	}
	for i := range s.State.Services {
		v := &s.State.Services[i]
		add(v.ClusterIPs...)
		add(v.ExternalIPs...)
		for _, in := range v.LoadBalancerIngress {
			add(in.IP)
		}
	}
	for _, sl := range s.State.Slices {
		for _, x := range sl.Endpoints {
			add(x.Addresses...)
		}
	}
	return out
}

// widen puts a shell's addresses into the scope.
func (e *Emulator) widen(addrs []netip.Addr) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.shellAddrs = append(e.shellAddrs, addrs...)
	e.do(func() { e.scope.Store(e.scopeOf(e.tenants())) })
}
