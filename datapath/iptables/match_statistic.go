package iptables

import (
	"math"
	"strconv"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// Random matches a share of packets, as -m statistic --mode random does. The kernel keeps the probability as a 31-bit
// integer and compares it with the low 31 bits of one random word (net/netfilter/xt_statistic.c, statistic_mt, v6.1).
type Random struct {
	Probability uint32 // share of packets, in units of 1/2^31, at most netfilter.One
	Invert      bool
}

// Nth matches every n-th packet that reaches it, as -m statistic --mode nth does. Each rule has its own counter, which starts
// at n-1-p (net/netfilter/xt_statistic.c, statistic_mt_check).
type Nth struct {
	Every  uint32 // n, at least 1
	Packet uint32 // p, less than n: the evaluation that matches first, from 0
	Invert bool
}

// statistic reads both modes' options; finish settles which it is.
type statistic struct {
	mode   string
	random Random
	nth    Nth
	Match
}

var _ = registerMatch(&extension{
	name: "statistic",
	options: []optionSpec{
		{name: "mode", args: 1, noInvert: true}, {name: "probability", args: 1}, {name: "every", args: 1},
		{name: "packet", args: 1, noInvert: true},
	},
	newMatch: func() parsedMatch { return new(statistic) },
})

func (m *statistic) set(o *option) error {
	switch o.name {
	case "mode":
		if o.arg != "random" && o.arg != "nth" {
			return refuse("--mode", `mode must be "random" or "nth"`, o.arg)
		}
		m.mode = o.arg
	case "probability":
		f, err := strconv.ParseFloat(o.arg, 64)
		if err != nil || !(f >= 0 && f <= 1) {
			return refuse("--probability", "bad value, or out of range (0-1)", o.arg)
		}
		m.random = Random{Probability: uint32(math.Round(f * netfilter.One)), Invert: o.invert}
	case "every":
		n, ok := parseUint(o.arg, 1<<32-1)
		if !ok || n == 0 {
			return o.badValue()
		}
		m.nth.Every, m.nth.Invert = uint32(n), o.invert
	case "packet":
		n, ok := parseUint(o.arg, 1<<32-1)
		if !ok {
			return o.badValue()
		}
		m.nth.Packet = uint32(n)
	}
	return nil
}

func (m *statistic) finish(r *ruleParser) error {
	switch {
	case m.mode == "":
		return refuse("statistic", "option --mode must be specified", "")
	case m.mode == "random":
		if !r.has(m, "probability") {
			return refuse("statistic", "--mode random requires --probability", "")
		}
		if r.has(m, "every") || r.has(m, "packet") {
			return refuse("statistic", "--every and --packet need --mode nth", "")
		}
		m.Match = &m.random
	default:
		if r.has(m, "probability") {
			return refuse("statistic", "--probability needs --mode random", "")
		}
		if !r.has(m, "every") || !r.has(m, "packet") {
			return refuse("statistic", "--mode nth requires --every and --packet", "")
		}
		if m.nth.Packet >= m.nth.Every {
			return refuse("statistic", "the --packet p must be 0 <= p <= n-1", strconv.Itoa(int(m.nth.Packet)))
		}
		m.Match = &m.nth
	}
	r.replace(m, m.Match)
	return nil
}

// Name is the name after -m.
func (m *Random) Name() string { return "statistic" }

// Append appends the options; the probability has 11 decimals.
func (m *Random) Append(b []byte) []byte {
	b = append(b, " --mode random"...)
	if m.Invert {
		b = append(b, " !"...)
	}
	b = append(b, " --probability "...)
	return strconv.AppendFloat(b, float64(m.Probability)/netfilter.One, 'f', 11, 64)
}

func (m *Random) match(x *walker, _ *packet.Packet) bool {
	hit := x.w.Chance(m.Probability)
	if x.w.Trace != nil {
		x.draw = netfilter.Draw{P31: m.Probability, Hit: hit}
		x.drew = true
	}
	return hit != m.Invert
}

// Name is the name after -m.
func (m *Nth) Name() string { return "statistic" }

// Append appends the options.
func (m *Nth) Append(b []byte) []byte {
	b = append(b, " --mode nth"...)
	if m.Invert {
		b = append(b, " !"...)
	}
	b = append(b, " --every "...)
	b = strconv.AppendUint(b, uint64(m.Every), 10)
	b = append(b, " --packet "...)
	return strconv.AppendUint(b, uint64(m.Packet), 10)
}

func (m *Nth) state() uint64 { return uint64(m.Every - 1 - m.Packet) }

func (m *Nth) bind(s *matchState) (evaluator, error) { return &boundNth{m, s}, nil }

// boundNth is an Nth with the counter of its rule.
type boundNth struct {
	*Nth
	at *matchState
}

func (m *boundNth) matchState() *matchState { return m.at }

func (m *boundNth) match(x *walker, _ *packet.Packet) bool {
	old := m.at.value
	if x.w.Journal.On() {
		s := m.at
		x.w.Journal.Add(func() { s.value = old })
	}
	if old == uint64(m.Every-1) {
		m.at.value = 0
		return !m.Invert
	}
	m.at.value++
	return m.Invert
}
