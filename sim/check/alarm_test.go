package check

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/svclab/svclab/sim/measure"
)

// Under the null, at α = 0.05 with a look after every draw to 10⁴, the threshold
// is crossed by at most 5 % of the runs (Ville) and by enough of them to show
// that the wager is no empty one: 0.2 % to 5.5 %.
func TestFalseAlarmsWithEveryLook(t *testing.T) {
	runs := runs(2000)
	for _, c := range []struct {
		shares []float64
		epoch  measure.Epoch
	}{
		{[]float64{1. / 3, 1. / 3, 1. / 3}, even(t, 3)},
		{[]float64{.5, .3, .2}, epoch(t, "1/2", "3/10", "1/5")},
	} {
		crossed := 0
		d := newDrawer(1, c.shares...)
		for range runs {
			p := NewProcess(Plan{Alpha: 0.05, Checks: 1}, []measure.Epoch{c.epoch})
			for range 10000 {
				if p.Add(0, d.draw()) {
					crossed++
					break
				}
			}
		}
		share := float64(crossed) / float64(runs)
		t.Logf("%s: %d of %d runs crossed (%.2f %%)", c.epoch.Name, crossed, runs, 100*share)
		if share < 0.002 || share > 0.055 {
			t.Errorf("%s: %.2f %% of the runs crossed, want 0.2 to 5.5", c.epoch.Name, 100*share)
		}
	}
}

// At α = 1e-6 no honest number of runs sees a false alarm, so the runs are drawn
// from the mixture itself, where crossing is common, and weighted by the plain
// ratio of null to mixture probability, computed here draw by draw from the
// recipe of a Dirichlet urn and not by the code under test.
func TestFalseAlarmsAtOneInAMillion(t *testing.T) {
	runs := runs(2000)
	const k, draws = 3, 10000
	e := even(t, k)
	rng := rand.New(rand.NewPCG(6, 1e6))
	var sum, squares float64
	crossed := 0
	for range runs {
		p := NewProcess(NewPlan(1), []measure.Epoch{e})
		chosen := []float64{1, 30, 1000}[rng.IntN(3)] * k
		urn := [3]float64{} // what each cell got
		logRatio := [3]float64{}
		for n := 0; n < draws; n++ {
			u := rng.Float64() * (chosen + float64(n))
			cell := 0
			for u -= chosen/k + urn[cell]; u > 0 && cell < k-1; u -= chosen/k + urn[cell] {
				cell++
			}
			for i, m := range []float64{1, 30, 1000} {
				logRatio[i] += math.Log((m + urn[cell]) / (m*k + float64(n)) * k)
			}
			urn[cell]++
			if p.Add(0, cell) {
				weight := 3 / (math.Exp(logRatio[0]) + math.Exp(logRatio[1]) + math.Exp(logRatio[2]))
				sum += weight
				squares += weight * weight
				crossed++
				break
			}
		}
	}
	mean := sum / float64(runs)
	se := math.Sqrt(squares/float64(runs)-mean*mean) / math.Sqrt(float64(runs))
	t.Logf("%d of %d mixture runs crossed; risk of a false alarm within %d draws %.3g ± %.1g", crossed, runs, draws, mean, se)
	if mean > 1e-6 || mean < 0.05e-6 {
		t.Errorf("risk %.3g, want at most 1e-6 and not below 5e-8", mean)
	}
}
