package ipvs

import "github.com/svclab/svclab/datapath/netfilter"

// sed takes the server with the shortest expected delay: the least of (active + 1) / weight, inactive entries unseen
// (net/netfilter/ipvs/ip_vs_sed.c).
type sed struct{ stateless }

func (sed) pick(_ *netfilter.Walk, s *Service, _ *flow) *Destination {
	d := s.firstUsable()
	if d == nil {
		return nil
	}
	least, low := d, delay(d)
	for d = d.next; d != &s.head; d = d.next {
		if d.Overload {
			continue
		}
		if o := delay(d); low*int64(d.Weight) > o*int64(least.Weight) {
			least, low = d, o
		}
	}
	return least
}

// delay is sed's load of a server (ip_vs_sed_dest_overhead).
func delay(d *Destination) int64 { return int64(d.Active) + 1 }
