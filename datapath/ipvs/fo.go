package ipvs

import "github.com/svclab/svclab/datapath/netfilter"

// fo takes the heaviest server until it fails or is overloaded (net/netfilter/ipvs/ip_vs_fo.c).
type fo struct{ stateless }

func (fo) pick(_ *netfilter.Walk, s *Service, _ *flow) *Destination {
	var heaviest *Destination
	for d := s.head.next; d != &s.head; d = d.next {
		if !d.unusable() && (heaviest == nil || d.Weight > heaviest.Weight) {
			heaviest = d
		}
	}
	return heaviest
}
