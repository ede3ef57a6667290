package ipvs

import "github.com/svclab/svclab/datapath/netfilter"

// ovf takes the heaviest server that has not more active connections than weight, so each fills to weight + 1
// (net/netfilter/ipvs/ip_vs_ovf.c).
type ovf struct{ stateless }

func (ovf) pick(_ *netfilter.Walk, s *Service, _ *flow) *Destination {
	var heaviest *Destination
	for d := s.head.next; d != &s.head; d = d.next {
		if d.unusable() || d.Active > d.Weight {
			continue
		}
		if heaviest == nil || d.Weight > heaviest.Weight {
			heaviest = d
		}
	}
	return heaviest
}
