package netfilter

// Source decides what the kernel leaves to chance. It is the only door through which randomness enters a walk:
// a named stream, words given by hand, an enumerator that visits every outcome, or the picks of a recorded kernel
// stand behind it, and the walker cannot tell them apart.
type Source interface {
	// Chance decides one draw that succeeds with probability p31/2^31, 0 <= p31 <= 2^31.
	Chance(p31 uint32) bool
	// Intn decides one draw from 0..n-1, each equally likely. n is at least 1.
	Intn(n int) int
}

// One is the probability 1 in units of 1/2^31.
const One = 1 << 31

// Words is a Source that takes 32-bit random words from a function, in the kernel's way: Chance compares the low
// 31 bits of one word (net/netfilter/xt_statistic.c, statistic_mt), Intn scales one word to the range
// (include/linux/prandom.h, prandom_u32_max, v6.1).
type Words func() uint32

// Chance compares the low 31 bits of one word with p31.
func (f Words) Chance(p31 uint32) bool { return f()&0x7fffffff < p31 }

// Intn scales one word to 0..n-1.
func (f Words) Intn(n int) int { return int(uint64(f()) * uint64(n) >> 32) }

// PortSource is a Source that wants to tell the ports NAT draws from other uniform draws: which port a masqueraded source
// gets decides nothing about who answers, so an enumerator takes one port for all.
type PortSource interface {
	Port(n int) int
}

// Ports is the door by which NAT draws ports: a PortSource's Port, else Intn.
type Ports struct{ w *Walk }

// Intn decides one uniform draw from 0..n-1.
func (p Ports) Intn(n int) int {
	p.w.Work.Draws++
	if s, ok := p.w.Source.(PortSource); ok {
		return s.Port(n)
	}
	return p.w.Source.Intn(n)
}
