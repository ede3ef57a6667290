package kernel

import (
	"net/netip"
	"slices"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/replay"
)

// TopologyOf derives the network around a node: its own addresses and Pod ranges, and a backend for every TCP and UDP port of
// every endpoint, whether ready or not, since its Pod is there. kube-proxy takes the first address of an endpoint, and so
// does this. SCTP has no backends.
func TopologyOf(h replay.Host, s *service.State) Topology {
	t := Topology{NodeAddrs: h.NodeIPs, LocalPods: h.PodCIDRs, PodInterface: h.PodInterface}
	seen := map[Backend]bool{}
	for _, slice := range s.Slices {
		for _, e := range slice.Endpoints {
			if len(e.Addresses) == 0 {
				continue
			}
			for _, p := range slice.Ports {
				b := Backend{Proto: p.Protocol, Addr: netip.AddrPortFrom(e.Addresses[0], p.Port)}
				if b.check() != nil || seen[b] {
					continue
				}
				seen[b] = true
				t.Backends = append(t.Backends, b)
			}
		}
	}
	slices.SortFunc(t.Backends, func(a, b Backend) int {
		if c := a.Addr.Compare(b.Addr); c != 0 {
			return c
		}
		return int(a.Proto) - int(b.Proto)
	})
	return t
}

// NodeAddr is the first address of the node in a family: what masquerade uses, and clients on the node. Invalid without one.
func (t *Topology) NodeAddr(f packet.Family) netip.Addr {
	for _, a := range t.NodeAddrs {
		if packet.FamilyOf(a) == f {
			return a
		}
	}
	return netip.Addr{}
}
