package iptables

import (
	"strconv"
	"strings"

	"github.com/svclab/svclab/datapath/packet"
)

// Rate is a number of packets a time, kept as the kernel keeps it: the time between two packets.
type Rate struct{ Per uint32 } // units of 100 µs between packets (XT_LIMIT_SCALE); 0: none

const rateScale = 10000

// rateUnits are the units of rates, in 100 µs; the longest first, as printing looks for the first that fits.
var rateUnits = [...]struct {
	name string
	long string
	per  uint32
}{{"day", "day", rateScale * 86400}, {"hour", "hour", rateScale * 3600}, {"min", "minute", rateScale * 60},
	{"sec", "second", rateScale}}

// parseRate reads N[/unit], the unit abbreviated at will (libxt_limit.c, parse_rate). most is the fastest rate a second.
func parseRate(opt, s string, most uint32) (Rate, error) {
	a, unit, has := strings.Cut(s, "/")
	// The number is read as atoi does: what follows it up to the unit is not looked at.
	a = strings.TrimPrefix(strings.TrimLeft(a, " \t"), "+")
	end := 0
	for end < len(a) && a[end] >= '0' && a[end] <= '9' {
		end++
	}
	n, err := strconv.ParseUint(a[:end], 10, 31)
	ok := err == nil
	per := uint32(rateScale)
	if has {
		found := false
		for _, u := range rateUnits {
			if unit != "" && (strings.HasPrefix(u.long, strings.ToLower(unit)) || strings.EqualFold(unit, u.name)) {
				per, found = u.per, true
			}
		}
		ok = ok && found
	}
	if !ok || n == 0 {
		return Rate{}, refuse(opt, "bad rate", s)
	}
	if n/uint64(per/rateScale) > uint64(most) || uint64(per)/n == 0 {
		return Rate{}, refuse(opt, "rate too fast", s)
	}
	return Rate{uint32(uint64(per) / n)}, nil
}

// append spells the rate in the shortest unit that gives a whole number (libxt_limit.c, print_rate).
func (r Rate) append(b []byte) []byte {
	at := 0
	for at = len(rateUnits) - 1; at > 0; at-- {
		if u := rateUnits[at].per; r.Per <= u && (u/r.Per*r.Per == u || u/r.Per >= 1 && u%r.Per < u/r.Per) {
			break
		}
	}
	u := rateUnits[at]
	b = strconv.AppendUint(b, uint64(u.per/r.Per), 10)
	return append(append(b, '/'), u.name...)
}

// Limit matches while its token bucket lasts, as -m limit does (net/netfilter/xt_limit.c, limit_mt).
type Limit struct {
	Rate  Rate
	Burst uint32
}

const defaultBurst = 5

var _ = registerMatch(&extension{
	name: "limit",
	options: []optionSpec{
		{name: "limit", args: 1, noInvert: true}, {name: "limit-burst", args: 1, noInvert: true},
	},
	newMatch: func() parsedMatch { return &Limit{Rate: Rate{rateScale * 3600 / 3}, Burst: defaultBurst} },
})

// Name is the name after -m.
func (m *Limit) Name() string { return "limit" }

func (m *Limit) set(o *option) (err error) {
	if o.name == "limit" {
		m.Rate, err = parseRate("--limit", o.arg, rateScale)
		return err
	}
	n, ok := parseUint(o.arg, 10000)
	if !ok {
		return o.badValue()
	}
	m.Burst = uint32(n)
	return nil
}

func (m *Limit) finish(*ruleParser) error { return nil }

// Append appends the options.
func (m *Limit) Append(b []byte) []byte {
	b = m.Rate.append(append(b, " --limit "...))
	if m.Burst != defaultBurst {
		b = strconv.AppendUint(append(b, " --limit-burst "...), uint64(m.Burst), 10)
	}
	return b
}

func (m *Limit) state() uint64 { return 0 }

func (m *Limit) bind(s *matchState) (evaluator, error) { return &boundLimit{Limit: m, at: s}, nil }

// boundLimit is a Limit with its bucket.
type boundLimit struct {
	*Limit
	at *matchState
	hz uint64
}

func (m *boundLimit) setHZ(hz int) { m.hz = uint64(hz) }

func (m *boundLimit) matchState() *matchState { return m.at }

func (m *boundLimit) match(x *walker, _ *packet.Packet) bool {
	s, old := m.at, *m.at
	if x.w.Journal.On() {
		x.w.Journal.Add(func() { *s = old })
	}
	now := jiffies(x.w.Now, m.hz)
	b := bucket{credit: s.value, stamp: s.stamp}
	if s.more == nil { // full when the rule was loaded
		b = newBucket(m.Rate, m.Burst, m.hz, now)
		s.more = true
	}
	ok := b.take(m.Rate, m.Burst, m.hz, now)
	s.value, s.stamp = b.credit, b.stamp
	return ok
}

// bucket is a token bucket in the kernel's units.
type bucket struct {
	credit uint64
	stamp  int64 // jiffies of the last look
}

// creditsPerJiffy is what one timer tick adds (xt_limit.c, CREDITS_PER_JIFFY at the given HZ, a power of two).
func creditsPerJiffy(hz uint64) uint64 {
	n := uint64(1)
	for n*2 <= 0xffffffff/(hz*60*60*24) {
		n *= 2
	}
	return n
}

// cost is what one packet takes.
func cost(r Rate, hz uint64) uint64 { return uint64(r.Per) * hz * creditsPerJiffy(hz) / rateScale }

func newBucket(r Rate, burst uint32, hz uint64, now int64) bucket {
	return bucket{cost(r, hz) * uint64(burst), now}
}

func (b *bucket) take(r Rate, burst uint32, hz uint64, now int64) bool {
	c := cost(r, hz)
	b.credit = min(b.credit+uint64(now-b.stamp)*creditsPerJiffy(hz), c*uint64(burst))
	b.stamp = now
	if b.credit < c {
		return false
	}
	b.credit -= c
	return true
}
