package ipvs

import "github.com/svclab/svclab/datapath/netfilter"

// nq takes the first server without an active connection; when there is none it goes by sed
// (net/netfilter/ipvs/ip_vs_nq.c).
type nq struct{ stateless }

func (nq) pick(_ *netfilter.Walk, s *Service, _ *flow) *Destination {
	var least *Destination
	var low int64
	for d := s.head.next; d != &s.head; d = d.next {
		if d.Overload || d.Weight == 0 {
			continue
		}
		o := delay(d)
		if d.Active == 0 {
			return d
		}
		if least == nil || low*int64(d.Weight) > o*int64(least.Weight) {
			least, low = d, o
		}
	}
	return least
}
