package ipvs

import "github.com/svclab/svclab/datapath/netfilter"

// wlc takes the server with the least overhead for its weight (net/netfilter/ipvs/ip_vs_wlc.c). While nothing is open the
// first in the list wins, whatever the weights.
type wlc struct{ stateless }

func (wlc) pick(_ *netfilter.Walk, s *Service, _ *flow) *Destination { return leastOverhead(s) }

// leastOverhead is the choice of wlc, which lblc and lblcr fall back on.
func leastOverhead(s *Service) *Destination {
	d := s.firstUsable()
	if d == nil {
		return nil
	}
	least, low := d, d.overhead()
	for d = d.next; d != &s.head; d = d.next {
		if d.Overload {
			continue
		}
		if o := d.overhead(); low*int64(d.Weight) > o*int64(least.Weight) {
			least, low = d, o
		}
	}
	return least
}

func (s *Service) firstUsable() *Destination {
	for d := s.head.next; d != &s.head; d = d.next {
		if !d.unusable() {
			return d
		}
	}
	return nil
}
