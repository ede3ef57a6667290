package check

import (
	"math"

	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/svclab/svclab/sim/measure"
)

// minExpected is the expected count below which a cell makes chi-square
// meaningless; such cells are pooled.
const minExpected = 5

// Familiar holds Pearson's chi-square and G with their p-values, for the
// familiar eye: they decide nothing, since they hold for one look only.
type Familiar struct {
	ChiSquare, ChiSquareP float64
	G, GP                 float64
	DegreesOfFreedom      int
	Pooled                int    // cells with fewer than 5 expected, counted together
	Meaningless           string // why there are no numbers, or ""
}

// FamiliarTests sums the statistics of all epochs, and their degrees of freedom.
func FamiliarTests(tallies []*measure.Tally) Familiar {
	var f Familiar
	for _, t := range tallies {
		if len(Impossible(t)) > 0 {
			return Familiar{Meaningless: "an outcome of probability zero was seen"}
		}
		obs, exp, pooled := pool(t)
		f.Pooled += pooled
		if len(obs) < 2 {
			continue
		}
		f.DegreesOfFreedom += len(obs) - 1
		f.ChiSquare += stat.ChiSquare(obs, exp)
		for i, o := range obs {
			if o > 0 {
				f.G += 2 * o * math.Log(o/exp[i])
			}
		}
	}
	if f.DegreesOfFreedom == 0 {
		return Familiar{Pooled: f.Pooled, Meaningless: "fewer than two cells with 5 expected"}
	}
	f.G = max(f.G, 0)
	f.ChiSquareP = ChiSquareSurvival(f.ChiSquare, f.DegreesOfFreedom)
	f.GP = ChiSquareSurvival(f.G, f.DegreesOfFreedom)
	return f
}

// pool returns observed and expected counts of the possible cells. Those with
// fewer than 5 expected are added up; if their sum stays below 5, the smallest
// other cell takes it in.
func pool(t *measure.Tally) (obs, exp []float64, pooled int) {
	h, n := newNull(t.Epoch), float64(t.N())
	var o, e float64
	least := -1
	for i, p := range h.p {
		switch {
		case p == 0:
		case n*p < minExpected:
			pooled++
			o += float64(t.Counts[i])
			e += n * p
		default:
			obs, exp = append(obs, float64(t.Counts[i])), append(exp, n*p)
			if least < 0 || n*p < exp[least] {
				least = len(exp) - 1
			}
		}
	}
	switch {
	case pooled == 0 || e == 0:
	case e < minExpected && least >= 0:
		pooled++
		obs[least] += o
		exp[least] += e
	case e >= minExpected:
		obs, exp = append(obs, o), append(exp, e)
	}
	return obs, exp, pooled
}

// ChiSquareSurvival is the probability that a chi-square variable with df
// degrees of freedom exceeds x.
func ChiSquareSurvival(x float64, df int) float64 {
	return distuv.ChiSquared{K: float64(df)}.Survival(x)
}

// ChiSquareQuantile is the x with ChiSquareSurvival(x, df) = p, for 0 < p < 1. It
// takes the upper tail, so that small p keep their digits.
func ChiSquareQuantile(p float64, df int) float64 {
	return 2 * mathext.GammaIncRegCompInv(float64(df)/2, p)
}
