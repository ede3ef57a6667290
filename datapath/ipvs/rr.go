package ipvs

import "github.com/svclab/svclab/datapath/netfilter"

// rr takes the servers in turn, whatever their weights (net/netfilter/ipvs/ip_vs_rr.c). The cursor is the server picked
// last, or the head of the list.
type rr struct{ cursor *Destination }

func newRR(s *Service) scheduler { return &rr{cursor: &s.head} }

func (r *rr) changed(s *Service, d *Destination, c change) {
	if c == removed && r.cursor == d {
		r.cursor = d.prev
	}
}

func (*rr) done(*Service) {}

func (r *rr) pick(w *netfilter.Walk, s *Service, _ *flow) *Destination {
	start := r.cursor
	for d, passes := start.next, 0; ; d = d.next {
		if d == &s.head {
			if passes++; passes > 1 || start == &s.head {
				return nil
			}
			continue
		}
		if !d.unusable() {
			if w.Journal.On() {
				w.Journal.Add(func() { r.cursor = start })
			}
			r.cursor = d
			return d
		}
		if d == start {
			return nil
		}
	}
}
