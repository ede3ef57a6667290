package check

import (
	"fmt"
	"math"
	"math/big"
	"testing"

	"github.com/svclab/svclab/sim/measure"
)

// checker is the part of the machinery that a mistake would most likely break.
type checker struct {
	logE         func([]*measure.Tally) float64
	logThreshold func(Plan) float64
}

// battery holds a checker against what must be true of any: fair over all
// outcomes of two epochs with different shares, quiet under the null at every
// look, and awake to a wrong chain. It returns what it found wrong.
func battery(t *testing.T, c checker) (complaints []string) {
	t.Helper()
	a, b := epoch(t, "1/2", "1/3", "1/6"), epoch(t, "1/4", "3/4")
	ha, hb := newNull(a), newNull(b)
	var sum float64
	compositions(5, 3, func(x []int64) {
		compositions(4, 2, func(y []int64) {
			logE := c.logE(tallies(tally(a, x...), tally(b, y...)))
			sum += math.Exp(logMultinomial(ha.p, x) + logMultinomial(hb.p, y) + logE)
		})
	})
	if math.Abs(sum-1) > 1e-12 {
		complaints = append(complaints, fmt.Sprintf("E[e] = %.6g over all outcomes", sum))
	}

	const runs = 500
	plan := Plan{Alpha: 0.05, Checks: 1}
	crossed := 0
	d := newDrawer(9, .5, 1./3, 1./6)
	for range runs {
		x := measure.NewTally(a)
		for n := 1; n <= 2000; n++ {
			x.Add(d.draw())
			if n%20 == 0 && c.logE(tallies(x)) >= c.logThreshold(plan) {
				crossed++
				break
			}
		}
	}
	if crossed > runs*8/100 { // 5 % plus three standard errors
		complaints = append(complaints, fmt.Sprintf("%d of %d honest runs refuted", crossed, runs))
	}

	x := measure.NewTally(even(t, 3))
	d = newDrawer(10, 1./3, 2./9, 4./9)
	for range 5000 {
		x.Add(d.draw())
	}
	if c.logE(tallies(x)) < c.logThreshold(NewPlan(1)) {
		complaints = append(complaints, "a chain of 1/3, 2/9, 4/9 passes for uniform")
	}
	return complaints
}

// altered applies a change to a copy of each tally.
func altered(list []*measure.Tally, change func(*measure.Tally)) []*measure.Tally {
	var out []*measure.Tally
	for _, x := range list {
		y := measure.NewTally(measure.Epoch{Name: x.Epoch.Name, Cells: append([]measure.Cell(nil), x.Epoch.Cells...)})
		copy(y.Counts, x.Counts)
		change(y)
		out = append(out, y)
	}
	return out
}

func TestMutantsOfTheCheckerAreCaught(t *testing.T) {
	sound := checker{LogE, Plan.LogThreshold}
	if c := battery(t, sound); len(c) > 0 {
		t.Fatalf("the checker itself: %v", c)
	}
	for _, m := range []struct {
		name   string
		mutant checker
	}{
		{"counts shifted by one cell", checker{func(list []*measure.Tally) float64 {
			return LogE(altered(list, func(x *measure.Tally) {
				x.Counts = append(x.Counts[1:], x.Counts[0])
			}))
		}, Plan.LogThreshold}},
		{"shares unnormalised", checker{func(list []*measure.Tally) float64 {
			return LogE(altered(list, func(x *measure.Tally) {
				for i, c := range x.Epoch.Cells {
					x.Epoch.Cells[i].Share = new(big.Rat).Mul(c.Share, big.NewRat(99, 100))
				}
			}))
		}, Plan.LogThreshold}},
		{"alpha forgotten", checker{LogE, func(p Plan) float64 { return math.Log(float64(p.Checks)) }}},
		{"epochs added", checker{func(list []*measure.Tally) float64 {
			var sum float64
			for _, x := range list {
				sum += math.Exp(LogE(tallies(x)))
			}
			return math.Log(sum)
		}, Plan.LogThreshold}},
		{"e-value of the wrong null", checker{func(list []*measure.Tally) float64 {
			return LogE(altered(list, func(x *measure.Tally) {
				for i := range x.Epoch.Cells {
					x.Epoch.Cells[i].Share = big.NewRat(1, int64(len(x.Epoch.Cells)))
				}
			}))
		}, Plan.LogThreshold}},
	} {
		c := battery(t, m.mutant)
		t.Logf("%s: %v", m.name, c)
		if len(c) == 0 {
			t.Errorf("the mutant %q survives", m.name)
		}
	}
}
