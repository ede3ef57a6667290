package ipvs

import "github.com/svclab/svclab/datapath/netfilter"

// wrr takes the servers in turn, each as often in a round as its weight says (net/netfilter/ipvs/ip_vs_wrr.c): a pass of the
// list serves those of at least the current weight, which sinks by the common divisor from pass to pass. A change of the list
// resets the position and keeps the current weight.
type wrr struct {
	last  *Destination // picked last, or the head of the list
	cw    int          // current weight
	max   int          // where a round begins
	step  int          // greatest common divisor of the weights
	index *weightIndex // of the list; it has no state of its own
}

func newWRR(s *Service) scheduler {
	r := &wrr{last: &s.head, index: &weightIndex{}}
	r.measure(s)
	r.cw = r.max
	return r
}

func (r *wrr) measure(s *Service) {
	r.index.build(s)
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
	// A position is a place in the list, -1 its head. The kernel walks server by server; the index skips those of less than
	// the current weight.
	first := r.position(s)
	at, stop := first, -1
	restarted, lastPass := false, false
	for {
		for i := r.index.next(at+1, r.cw); i >= 0; i = r.index.next(i+1, r.cw) {
			if stop >= 0 && i > stop {
				break
			}
			if d := r.index.order[i]; !d.Overload {
				r.last = d
				return d
			}
		}
		if stop >= 0 {
			r.last = r.index.order[stop]
			return nil
		}
		if at < 0 {
			r.skipPasses(s)
		}
		at = -1
		r.cw -= r.step
		if r.cw <= 0 {
			r.cw = r.max
			if lastPass || first < 0 {
				r.last = &s.head
				return nil
			}
			restarted = true
		}
		lastPass = r.cw <= r.step
		if lastPass && restarted && first >= 0 {
			stop = first
		}
	}
}

// skipPasses leaves out passes that cannot find anybody, as all usable servers weigh less: the current weight is set so that
// the next step leads to one that somebody has, or to the last pass. Without it, a single heavy and overloaded server would
// cost as many passes as it weighs.
func (r *wrr) skipPasses(s *Service) {
	top := 0
	for d := s.first(); d != nil; d = s.after(d) {
		if !d.Overload {
			top = max(top, d.Weight)
		}
	}
	lowest := (r.cw-1)%r.step + 1
	if next := r.cw - r.step; next > top && next > lowest {
		r.cw -= (next - max(top, lowest)) / r.step * r.step
		if r.cw-r.step > max(top, lowest) {
			r.cw -= r.step
		}
	}
}

func (r *wrr) position(s *Service) int {
	if r.last == &s.head {
		return -1
	}
	return r.last.index
}

// weightIndex finds the next server of at least a weight in logarithmic time: a tree of maxima over the list.
type weightIndex struct {
	order []*Destination
	tree  []int // node 1 is the root, the leaves are the second half
}

func (x *weightIndex) build(s *Service) {
	x.order = x.order[:0]
	for d := s.first(); d != nil; d = s.after(d) {
		d.index = len(x.order)
		x.order = append(x.order, d)
	}
	leaves := 1
	for leaves < len(x.order) {
		leaves *= 2
	}
	if len(x.tree) != 2*leaves {
		x.tree = make([]int, 2*leaves)
	}
	clear(x.tree)
	for i, d := range x.order {
		x.tree[leaves+i] = d.Weight
	}
	for i := leaves - 1; i > 0; i-- {
		x.tree[i] = max(x.tree[2*i], x.tree[2*i+1])
	}
}

// next returns the first position from i on whose server has at least weight w, which is positive; -1 when there is none.
func (x *weightIndex) next(i, w int) int {
	leaves := len(x.tree) / 2
	if i >= leaves {
		return -1
	}
	n := leaves + i
	for x.tree[n] < w {
		for n&1 == 1 {
			if n >>= 1; n == 0 {
				return -1
			}
		}
		n++
	}
	for n < leaves {
		if n *= 2; x.tree[n] < w {
			n++
		}
	}
	return n - leaves
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
