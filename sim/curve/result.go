package curve

import (
	"time"

	"github.com/svclab/svclab/sim/box"
)

// Result is a measurement of several series.
type Result struct {
	Seed                     uint64
	Rounds, Blocks, Connects int // as in Options
	Lines                    []Line
}

// Line is one series with its points, by size.
type Line struct {
	Series  Series
	Release string // of the kernel
	Missing *box.MissingError
	Points  []Point
	Fit     Fit
	Shape   Shape
	Why     string // it has that shape
	// Bound is the slope that tells flat from rising, in ns for each Service: a twentieth of what the series Against costs, or of
	// 4 ns where that is empty.
	Bound   float64
	Against string
}

// Point is one size.
type Point struct {
	Services              int
	First, Last           Spread        // over all blocks
	Base                  float64       // what a connection to the first Service took in the fastest blocks, ns: the median of visits
	Extra                 Estimate      // what the last Service took longer in the fastest blocks, ns: the median of visits
	FirstRules, LastRules int           // tried by the model
	FullUpdate            time.Duration // everything, into an empty kernel
	OneUpdate             time.Duration // the middle one of several changes of one Service; 0 where there was no time for it
	Failed                int           // blocks with connections that did not come about

	visits []visit
}

// visit is what blocks to the first and to the last Service took, by target.
type visit [2][]time.Duration

// Spread is how long a connection took: the tenth part of blocks was as fast as P10.
type Spread struct{ P10, P50 time.Duration }
