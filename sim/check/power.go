package check

import (
	"math"
	"math/big"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/svclab/svclab/sim/measure"
)

// PowerRow says how many connections it takes to refute the shares when one
// backend is off by a relative effect, the others sharing the difference.
type PowerRow struct {
	Effect      float64         // relative: 0.05 is five percent of its share
	Outcome     measure.Outcome // the backend that is hardest to catch
	Connections []int64         // for each of PowerTable.Powers; 0 when no number up to MaxConnections is enough
}

// PowerTable is what a plan can see, known before the run.
type PowerTable struct {
	Powers []float64 // chances to refute
	Rows   []PowerRow
	Margin []int64 // connections needed to show equivalence, for each of Powers; 0 as above
}

// MaxConnections ends the search of the power table.
const MaxConnections = int64(1) << 50

// powerEffects and powers are the rows and columns.
var (
	powerEffects = []float64{0.01, 0.02, 0.05, 0.1, 0.2, 0.5}
	powers       = []float64{0.5, 0.9, 0.99}
)

// Power computes the table for one epoch. The numbers are those of the normal
// approximation to the mixture (below), good to some percent where an effect
// needs more than a few hundred connections; they advise and decide nothing.
func Power(plan Plan, margin Margin, e measure.Epoch) PowerTable {
	t := PowerTable{Powers: powers}
	h := newNull(e)
	if h.k < 2 {
		return t
	}
	weakest := -1 // the smallest share gives an effect the least weight
	for i, p := range h.p {
		if p > 0 && (weakest < 0 || p < h.p[weakest]) {
			weakest = i
		}
	}
	for _, effect := range powerEffects {
		r := PowerRow{Effect: effect, Outcome: e.Cells[weakest].Outcome}
		for _, power := range powers {
			r.Connections = append(r.Connections, leastN(func(n float64) bool {
				return h.refutes(plan, weakest, effect, n) >= power
			}))
		}
		t.Rows = append(t.Rows, r)
	}
	for _, power := range powers {
		t.Margin = append(t.Margin, leastN(func(n float64) bool {
			for i := range e.Cells {
				if h.p[i] > 0 && !h.fits(plan, margin, e.Cells[i].Share, i, power, n) {
					return false
				}
			}
			return true
		}))
	}
	return t
}

// refutes is the chance that n draws refute the null when cell i has the share
// p(1+effect). Where n·p is large, a wager of concentration c is worth
//
//	ln E ≈ ½·X·n/(n+c) − (df/2)·ln(1+n/c)
//
// with X Pearson's statistic: noncentral chi-square with λ = n·effect²·p/(1−p).
// The best wager need only pay for its place in the mean.
func (h *null) refutes(plan Plan, i int, effect, n float64) float64 {
	lambda := n * effect * effect * h.p[i] / h.q[i]
	best := 0.0
	for _, m := range concentrations {
		c := m * float64(h.k)
		need := func(df, places float64) float64 {
			return 2 * (n + c) / n * (plan.LogThreshold() + math.Log(places) + df/2*math.Log1p(n/c))
		}
		places := float64(len(concentrations))
		if h.k > manyCells {
			best = max(best, noncentralSurvival(need(1, 2*places*float64(h.k)), 1, lambda))
			places *= 2
		}
		df := float64(h.k - 1)
		best = max(best, noncentralSurvival(need(df, places), df, lambda))
	}
	return best
}

// noncentralSurvival is the upper tail of the noncentral chi-square, by
// Sankaran's normal approximation (Biometrika 50, 1963).
func noncentralSurvival(x, df, lambda float64) float64 {
	s := df + lambda
	h := 1 - 2*s*(df+3*lambda)/(3*(df+2*lambda)*(df+2*lambda))
	p := (df + 2*lambda) / (s * s)
	m := (h - 1) * (1 - 3*h)
	mean := 1 + h*p*(h-1-(2-h)*m*p/2)
	sd := h * math.Sqrt(2*p) * (1 + m*p/2)
	return distuv.UnitNormal.Survival((math.Pow(x/s, h) - mean) / sd)
}

// fits says whether, with the given chance for all cells together, the confidence
// sequence of cell i lies in the margin after n draws under the null. With v the
// variance of one draw, its half width is √(2v/n·(ln 1/level + ½ln(1+n/c))) and
// its middle lies off by z·√(v/n) at most.
func (h *null) fits(plan Plan, margin Margin, share *big.Rat, i int, power, n float64) bool {
	width, _ := margin.Of(share).Float64()
	v := h.p[i] * h.q[i]
	c := equivalenceConcentration * float64(h.k)
	z := distuv.UnitNormal.Quantile(1 - (1-power)/(2*float64(h.k)))
	log := -math.Log(plan.CellLevel(h.k)) + math.Log1p(n/c)/2
	// the middle's own distance costs evidence: the prior sits at the share
	return math.Sqrt(v/n)*(math.Sqrt(2*log+z*z*c/(n+c))+z) <= width
}

// leastN finds the smallest n that is enough, by doubling and halving.
func leastN(enough func(n float64) bool) int64 {
	high := int64(1)
	for !enough(float64(high)) {
		if high >= MaxConnections {
			return 0
		}
		high *= 2
	}
	low := high / 2
	for high-low > 1 {
		mid := low + (high-low)/2
		if enough(float64(mid)) {
			high = mid
		} else {
			low = mid
		}
	}
	return high
}
