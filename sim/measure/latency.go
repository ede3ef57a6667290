package measure

import (
	"math/big"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latency is a distribution of lengths of time, kept in a histogram of high dynamic range: any two lengths that share a bucket
// differ by less than one in a thousand. It has avg, min, max, med, p(N) and count; minimum, maximum and count are exact, and a
// percentile is the greatest length of its bucket. Lengths beyond MaxLatency count as that.
type Latency struct {
	name     string
	h        *hdrhistogram.Histogram
	min, max int64
	sum      big.Int
}

// MaxLatency is the longest length that is told apart from longer ones.
const MaxLatency = time.Hour

// NewLatency starts without samples.
func NewLatency(name string) *Latency {
	return &Latency{name: name, h: hdrhistogram.New(1, int64(MaxLatency), 3)}
}

// AddDuration takes one length; negative ones are a broken invariant and panic.
func (l *Latency) AddDuration(d time.Duration) {
	if d < 0 {
		panic("measure: negative value in metric " + l.name)
	}
	v := int64(min(d, MaxLatency))
	if l.h.TotalCount() == 0 || v < l.min {
		l.min = v
	}
	l.max = max(l.max, v)
	l.sum.Add(&l.sum, big.NewInt(v))
	if err := l.h.RecordValue(v); err != nil {
		panic("measure: " + err.Error()) // v is within the histogram's bounds
	}
}

// Name implements Metric.
func (l *Latency) Name() string { return l.name }

// Unit implements Metric.
func (l *Latency) Unit() Unit { return UnitNanoseconds }

// N implements Metric.
func (l *Latency) N() int64 { return l.h.TotalCount() }

// Percentile is the length that this part of the samples, in percent, does not exceed; 0 without samples.
func (l *Latency) Percentile(percent float64) time.Duration {
	return time.Duration(max(l.min, min(l.h.ValueAtPercentile(percent), l.max)))
}

// Max is the longest length; 0 without samples.
func (l *Latency) Max() time.Duration { return time.Duration(l.max) }

// Stat implements Metric.
func (l *Latency) Stat(s Stat) (*big.Rat, error) {
	n := l.h.TotalCount()
	if s.Name == "count" {
		return new(big.Rat).SetInt64(n), nil
	}
	if n == 0 {
		return nil, &StatError{l.name, s.String(), "has no samples"}
	}
	whole := func(v int64) (*big.Rat, error) { return new(big.Rat).SetInt64(v), nil }
	switch s.Name {
	case "avg":
		return new(big.Rat).SetFrac(&l.sum, big.NewInt(n)), nil
	case "min":
		return whole(l.min)
	case "max":
		return whole(l.max)
	case "med":
		return whole(int64(l.Percentile(50)))
	case "p":
		p, _ := s.Percent.Float64()
		return whole(int64(l.Percentile(p)))
	}
	return nil, &StatError{l.name, s.String(), "is no statistic of a distribution; it has avg, min, max, med, p(N) and count"}
}
