package curve

import (
	"slices"
	"time"

	"github.com/svclab/svclab/sim/box"
)

// Result is a measurement of several series.
type Result struct {
	Seed             uint64
	Blocks, Connects int
	Lines            []Line
}

// Line is one series with its points, by size.
type Line struct {
	Series  Series
	Release string // of the kernel
	Missing *box.MissingError
	Points  []Point
	Fit     Fit
	Shape   Shape
}

// Point is one size.
type Point struct {
	Services              int
	First, Last           Spread
	FirstRules, LastRules int // tried by the model
	FullUpdate, OneUpdate time.Duration

	first, last []time.Duration
}

// Spread is how long a connection took: the tenth part of blocks was as fast as P10.
type Spread struct{ P10, P50 time.Duration }

func spread(d []time.Duration) Spread {
	s := slices.Clone(d)
	slices.Sort(s)
	return Spread{P10: quantile(s, 0.1), P50: quantile(s, 0.5)}
}

// quantile of a sorted list, without interpolation.
func quantile(s []time.Duration, q float64) time.Duration {
	return s[min(int(q*float64(len(s))), len(s)-1)]
}

// extra is what the last Service costs beyond the first.
func (p *Point) extra() time.Duration { return p.Last.P10 - p.First.P10 }

// Shape is the verdict on a line.
type Shape string

// The shapes. A line is flat when its whole rise, by the upper end of the slope's interval, is below a twentieth of what a
// connection costs without it; linear when it rises by at least as much, by the lower end, and a straight line explains it.
const (
	Linear   Shape = "linear"
	Flat     Shape = "flat"
	TooNoisy Shape = "too noisy to say"
	NoLine   Shape = "not measured"
)

// Bounds of the verdict.
const (
	flatRise      = 0.05 // of the first Service's time, over the whole range of sizes
	linearR2      = 0.95
	fewestSizes   = 3
	resamples     = 400
	intervalLevel = 0.95
)
