package ipvs

import "github.com/svclab/svclab/datapath/netfilter"

// lc takes the server with the least overhead; of equals the first in the list, which is the newest
// (net/netfilter/ipvs/ip_vs_lc.c).
type lc struct{ stateless }

func (lc) pick(_ *netfilter.Walk, s *Service, _ *flow) *Destination {
	var least *Destination
	var low int64
	for d := s.head.next; d != &s.head; d = d.next {
		if d.Overload || d.Weight == 0 {
			continue
		}
		if o := d.overhead(); least == nil || o < low {
			least, low = d, o
		}
	}
	return least
}
