package ipvs

import "github.com/svclab/svclab/datapath/netfilter"

// twos draws two servers by weight and takes the less loaded one (net/netfilter/ipvs/ip_vs_twos.c). The draws are from 0 to
// the sum of the weights inclusive, which favours the first usable server by one part.
type twos struct{ stateless }

func (twos) pick(w *netfilter.Walk, s *Service, _ *flow) *Destination {
	total := 0
	for d := s.head.next; d != &s.head; d = d.next {
		if !d.unusable() {
			total += d.Weight
		}
	}
	if total == 0 {
		return nil
	}
	r1, r2 := w.Intn(total+1), w.Intn(total+1)
	one, two := s.byWeight(r1), s.byWeight(r2)
	if betterOfTwo(one, two) {
		return two
	}
	return one
}

// byWeight walks the usable servers, taking each one's weight off r, to the first that leaves nothing.
func (s *Service) byWeight(r int) *Destination {
	for d := s.head.next; d != &s.head; d = d.next {
		if d.unusable() {
			continue
		}
		if r -= d.Weight; r <= 0 {
			return d
		}
	}
	return nil // unreachable: r is at most the sum
}

// betterOfTwo reports whether the second choice is less loaded for its weight, in the kernel's 32-bit arithmetic.
func betterOfTwo(one, two *Destination) bool {
	return int32(two.Weight)*int32(one.overhead()) > int32(one.Weight)*int32(two.overhead())
}
