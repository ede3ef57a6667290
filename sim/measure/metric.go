package measure

import (
	"math/big"
	"slices"
	"time"
)

// Unit is what the numbers of a metric count.
type Unit uint8

const (
	// UnitCount: things (connections, rules, packets).
	UnitCount Unit = iota
	// UnitNanoseconds: virtual or measured time.
	UnitNanoseconds
	// UnitBytes: payload or memory.
	UnitBytes
	// UnitShare: a part of a whole, 0 … 1.
	UnitShare
)

// String returns the suffix of a printed number.
func (u Unit) String() string {
	return [...]string{UnitCount: "", UnitNanoseconds: "ns", UnitBytes: "B", UnitShare: ""}[u]
}

// Metric is one named observation with a unit. Its statistics are fractions, so
// that a threshold is decided without rounding.
type Metric interface {
	Name() string
	Unit() Unit
	// N is the number of samples.
	N() int64
	// Stat returns a statistic in Unit; a *StatError when the metric has none such.
	Stat(s Stat) (*big.Rat, error)
}

// Counter counts events. It has the statistic "count".
type Counter struct {
	name string
	n    int64
}

// NewCounter starts at 0.
func NewCounter(name string) *Counter { return &Counter{name: name} }

// Add counts n more events.
func (c *Counter) Add(n int64) { c.n += n }

// Merge adds the other's events.
func (c *Counter) Merge(d *Counter) { c.n += d.n }

// Name implements Metric.
func (c *Counter) Name() string { return c.name }

// Unit implements Metric.
func (c *Counter) Unit() Unit { return UnitCount }

// N implements Metric.
func (c *Counter) N() int64 { return c.n }

// Stat implements Metric.
func (c *Counter) Stat(s Stat) (*big.Rat, error) {
	if s.Name != "count" {
		return nil, &StatError{c.name, s.String(), "is no statistic of a counter; it has count"}
	}
	return new(big.Rat).SetInt64(c.n), nil
}

// Rate is how often something was true. It has the statistics "rate" and "count"
// (how often it was asked).
type Rate struct {
	name    string
	hits, n int64
}

// NewRate starts with nothing asked.
func NewRate(name string) *Rate { return &Rate{name: name} }

// Add takes one answer.
func (r *Rate) Add(hit bool) {
	r.n++
	if hit {
		r.hits++
	}
}

// Merge adds the other's answers.
func (r *Rate) Merge(s *Rate) { r.hits, r.n = r.hits+s.hits, r.n+s.n }

// Name implements Metric.
func (r *Rate) Name() string { return r.name }

// Unit implements Metric.
func (r *Rate) Unit() Unit { return UnitShare }

// N implements Metric.
func (r *Rate) N() int64 { return r.n }

// Stat implements Metric.
func (r *Rate) Stat(s Stat) (*big.Rat, error) {
	switch {
	case s.Name == "count":
		return new(big.Rat).SetInt64(r.n), nil
	case s.Name != "rate":
		return nil, &StatError{r.name, s.String(), "is no statistic of a rate; it has rate and count"}
	case r.n == 0:
		return nil, &StatError{r.name, s.String(), "has no samples"}
	}
	return big.NewRat(r.hits, r.n), nil
}

// Trend is a distribution of whole numbers. It has avg, min, max, med, p(N) and
// count. Percentiles are nearest-rank; two values share a bucket only when they
// differ by less than 1 in 1024, and a bucket answers with the greatest value it
// saw, so that few distinct values are answered exactly. Average, minimum and
// maximum are always exact.
type Trend struct {
	name     string
	unit     Unit
	n        int64
	sum      *big.Int
	min, max int64
	buckets  map[uint32]bucket
}

type bucket struct{ n, max int64 }

// NewDurations is a Trend of durations.
func NewDurations(name string) *Trend { return newTrend(name, UnitNanoseconds) }

// NewNumbers is a Trend of whole numbers of the unit.
func NewNumbers(name string, unit Unit) *Trend { return newTrend(name, unit) }

func newTrend(name string, unit Unit) *Trend {
	return &Trend{name: name, unit: unit, sum: new(big.Int), buckets: make(map[uint32]bucket)}
}

// AddDuration takes one duration; negative ones are a broken invariant and panic.
func (t *Trend) AddDuration(d time.Duration) { t.Add(int64(d)) }

// Add takes one value in the metric's unit; negative ones panic.
func (t *Trend) Add(v int64) {
	if v < 0 {
		panic("measure: negative value in metric " + t.name)
	}
	if t.n == 0 || v < t.min {
		t.min = v
	}
	t.max = max(t.max, v)
	t.n++
	t.sum.Add(t.sum, big.NewInt(v))
	key := bucketOf(v)
	b := t.buckets[key]
	t.buckets[key] = bucket{b.n + 1, max(b.max, v)}
}

// bucketOf keeps the leading 11 bits of a value and its magnitude; keys grow with values.
func bucketOf(v int64) uint32 {
	shift := uint32(0)
	for v >= 2048 {
		v >>= 1
		shift++
	}
	return shift<<11 | uint32(v)
}

// Merge adds the other's samples; a *MergeError when the units differ.
func (t *Trend) Merge(u *Trend) error {
	if t.unit != u.unit {
		return &MergeError{t.name, "the units differ"}
	}
	if u.n == 0 {
		return nil
	}
	if t.n == 0 || u.min < t.min {
		t.min = u.min
	}
	t.max = max(t.max, u.max)
	t.n += u.n
	t.sum.Add(t.sum, u.sum)
	for key, b := range u.buckets {
		a := t.buckets[key]
		t.buckets[key] = bucket{a.n + b.n, max(a.max, b.max)}
	}
	return nil
}

// Name implements Metric.
func (t *Trend) Name() string { return t.name }

// Unit implements Metric.
func (t *Trend) Unit() Unit { return t.unit }

// N implements Metric.
func (t *Trend) N() int64 { return t.n }

// Stat implements Metric.
func (t *Trend) Stat(s Stat) (*big.Rat, error) {
	if s.Name == "count" {
		return new(big.Rat).SetInt64(t.n), nil
	}
	if t.n == 0 {
		return nil, &StatError{t.name, s.String(), "has no samples"}
	}
	whole := func(v int64) (*big.Rat, error) { return new(big.Rat).SetInt64(v), nil }
	switch s.Name {
	case "avg":
		return new(big.Rat).SetFrac(t.sum, big.NewInt(t.n)), nil
	case "min":
		return whole(t.min)
	case "max":
		return whole(t.max)
	case "med":
		return whole(t.percentile(big.NewRat(50, 1)))
	case "p":
		return whole(t.percentile(s.Percent))
	}
	return nil, &StatError{t.name, s.String(), "is no statistic of a trend; it has avg, min, max, med, p(N) and count"}
}

// percentile is the value of rank ⌈percent/100 · n⌉, at least 1.
func (t *Trend) percentile(percent *big.Rat) int64 {
	at := new(big.Rat).Mul(percent, big.NewRat(t.n, 100))
	rank := new(big.Int).Quo(at.Num(), at.Denom())
	if !at.IsInt() {
		rank.Add(rank, big.NewInt(1))
	}
	need := max(rank.Int64(), 1)
	keys := make([]uint32, 0, len(t.buckets))
	for key := range t.buckets {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if need -= t.buckets[key].n; need <= 0 {
			return t.buckets[key].max
		}
	}
	return t.max
}
