package check

import (
	"math"
	"math/big"

	"github.com/svclab/svclab/sim/measure"
)

// Concentrations, as multiples of k: the alternatives that the mixture bets on,
// from "shares are anything" to "shares are off by a few percent".
var concentrations = [...]float64{1, 30, 1000}

// manyCells is the k above which half of the wager goes to one cell being off:
// with many cells a full Dirichlet spends it on directions nobody looks for.
const manyCells = 20

// null is the exact hypothesis of one epoch, made ready for arithmetic. Cells of
// probability zero are kept with p = 0, so that indices stay those of the epoch.
type null struct {
	p, q       []float64 // share and 1 − share, each rounded once from the fraction
	logP, logQ []float64
	k          int // cells with p > 0
}

func newNull(e measure.Epoch) *null {
	n := len(e.Cells)
	h := &null{p: make([]float64, n), q: make([]float64, n), logP: make([]float64, n), logQ: make([]float64, n)}
	one := big.NewRat(1, 1)
	for i, c := range e.Cells {
		if c.Share.Sign() == 0 {
			h.q[i] = 1
			continue
		}
		h.k++
		h.p[i], _ = c.Share.Float64()
		h.q[i], _ = new(big.Rat).Sub(one, c.Share).Float64()
		h.logP[i], h.logQ[i] = math.Log(h.p[i]), math.Log(h.q[i])
	}
	return h
}

// logE is the log e-value of counts: the mean over the concentrations of the
// Dirichlet-multinomial over the multinomial at p; for k > 20 the mean of that
// and of the beta-binomials of the single cells.
func (h *null) logE(counts []int64) float64 {
	if h.k < 2 {
		return 0
	}
	var n int64
	for _, c := range counts {
		n += c
	}
	var full [len(concentrations)]float64
	for i, m := range concentrations {
		full[i] = h.logDirichlet(m*float64(h.k), counts, n)
	}
	all := logMean(full[:])
	if h.k <= manyCells {
		return all
	}
	single := make([]float64, 0, h.k*len(concentrations))
	for i, c := range counts {
		if h.p[i] == 0 {
			continue
		}
		for _, m := range concentrations {
			single = append(single, h.logBeta(i, m*float64(h.k), c, n))
		}
	}
	return logMean([]float64{all, logMean(single)})
}

// logDirichlet is ln of Dirichlet-multinomial (centred at p, concentration c)
// over multinomial; the multinomial coefficients cancel.
func (h *null) logDirichlet(c float64, counts []int64, n int64) float64 {
	sum := -logRising(c, n)
	for i, x := range counts {
		if x > 0 {
			sum += logRising(c*h.p[i], x) - float64(x)*h.logP[i]
		}
	}
	return sum
}

// logBeta is ln of beta-binomial over binomial for cell i alone: x of n draws.
func (h *null) logBeta(i int, c float64, x, n int64) float64 {
	sum := -logRising(c, n)
	if x > 0 {
		sum += logRising(c*h.p[i], x) - float64(x)*h.logP[i]
	}
	if n > x {
		sum += logRising(c*h.q[i], n-x) - float64(n-x)*h.logQ[i]
	}
	return sum
}

// LogE is the log e-value of counts by epoch; epochs multiply. It is +Inf when a
// draw ended where no draw can.
func LogE(tallies []*measure.Tally) float64 {
	var sum float64
	for _, t := range tallies {
		if len(Impossible(t)) > 0 {
			return math.Inf(1)
		}
		sum += newNull(t.Epoch).logE(t.Counts)
	}
	return sum
}

// Impossible returns the outcomes that were seen although their share is zero.
func Impossible(t *measure.Tally) []measure.Outcome {
	var seen []measure.Outcome
	for i, c := range t.Epoch.Cells {
		if c.Share.Sign() == 0 && t.Counts[i] > 0 {
			seen = append(seen, c.Outcome)
		}
	}
	for _, o := range t.OtherOutcomes() {
		if t.Other[o] > 0 {
			seen = append(seen, o)
		}
	}
	return seen
}
