package ipvs

import "github.com/svclab/svclab/datapath/netfilter"

// wrr takes the servers in turn, each as often in a round as its weight says (net/netfilter/ipvs/ip_vs_wrr.c): a pass of the
// list serves those of at least the current weight, which sinks by the common divisor from pass to pass. A change of the list
// resets the position and keeps the current weight.
type wrr struct {
	last *Destination // picked last, or the head of the list
	cw   int          // current weight
	max  int          // where a round begins
	step int          // greatest common divisor of the weights
}

func newWRR(s *Service) scheduler {
	r := &wrr{last: &s.head}
	r.measure(s)
	r.cw = r.max
	return r
}

func (r *wrr) measure(s *Service) {
	g, top := 0, 0
	for d := s.first(); d != nil; d = s.after(d) {
		if d.Weight > 0 {
			g = gcd(d.Weight, g)
		}
		top = max(top, d.Weight)
	}
	r.step, r.max = max(g, 1), top
	if top > 0 {
		r.max = top - (r.step - 1)
	}
}

func (r *wrr) changed(s *Service, _ *Destination, _ change) {
	r.last = &s.head
	r.measure(s)
	switch {
	case r.cw > r.max || r.cw == 0:
		r.cw = r.max
	case r.step > 1:
		r.cw = r.cw/r.step*r.step + 1
	}
}

func (*wrr) done(*Service) {}

func (r *wrr) pick(w *netfilter.Walk, s *Service, _ *flow) *Destination {
	if r.max == 0 {
		return nil
	}
	if w.Journal.On() {
		old := *r
		w.Journal.Add(func() { *r = old })
	}
	first, d := r.last, r.last
	var stop *Destination
	restarted, lastPass := false, false
	for {
		for d = d.next; d != &s.head; d = d.next {
			if !d.Overload && d.Weight >= r.cw {
				r.last = d
				return d
			}
			if d == stop {
				r.last = d
				return nil
			}
		}
		r.cw -= r.step
		if r.cw <= 0 {
			r.cw = r.max
			if lastPass || first == &s.head {
				r.last = &s.head
				return nil
			}
			restarted = true
		}
		lastPass = r.cw <= r.step
		if lastPass && restarted && first != &s.head {
			stop = first
		}
	}
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
