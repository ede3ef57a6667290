package check

import (
	"math"
	"os"
	"testing"

	"github.com/svclab/svclab/sim/measure"
)

// full says whether the figures are taken at full size: SVCLAB_FULL=1.
func full() bool { return os.Getenv("SVCLAB_FULL") == "1" }

// runs is how many runs a figure takes: ten to twenty times as many at full size,
// a quarter under -short.
func runs(usual int) int {
	switch {
	case full():
		return 20000
	case testing.Short():
		return usual / 4
	}
	return usual
}

// compositions calls yield with every way to put n draws into k cells.
func compositions(n int64, k int, yield func([]int64)) {
	counts := make([]int64, k)
	var fill func(cell int, left int64)
	fill = func(cell int, left int64) {
		if cell == k-1 {
			counts[cell] = left
			yield(counts)
			return
		}
		for x := int64(0); x <= left; x++ {
			counts[cell] = x
			fill(cell+1, left-x)
		}
	}
	fill(0, n)
}

// logMultinomial is the plain probability of counts, term by term.
func logMultinomial(p []float64, counts []int64) float64 {
	var n int64
	var sum float64
	for i, x := range counts {
		for j := int64(1); j <= x; j++ {
			n++
			sum += math.Log(float64(n)) - math.Log(float64(j)) + math.Log(p[i])
		}
	}
	return sum
}

// An e-value is fair: its expectation under the null, summed over all outcomes,
// is 1. This is arithmetic on the definition, not on any run.
func TestExpectationOverAllCountsIsOne(t *testing.T) {
	for _, e := range []measure.Epoch{
		even(t, 2), epoch(t, "9/10", "1/10"), epoch(t, "1/1000", "999/1000"),
		even(t, 3), epoch(t, "1/3", "2/9", "4/9"), epoch(t, "1/2", "0", "1/3", "1/6"),
	} {
		h := newNull(e)
		for n := int64(0); n <= 12; n++ {
			var sum float64
			compositions(n, len(e.Cells), func(counts []int64) {
				for i, x := range counts {
					if x > 0 && h.p[i] == 0 {
						return
					}
				}
				sum += math.Exp(logMultinomial(h.p, counts) + h.logE(counts))
			})
			if math.Abs(sum-1) > 1e-12 {
				t.Errorf("%s, n = %d: E[e] = %.17g", e.Name, n, sum)
			}
		}
	}
}

// The same for k > 20, where single cells take half of the wager.
func TestExpectationWithManyCells(t *testing.T) {
	e := even(t, 21)
	h := newNull(e)
	for n := int64(1); n <= 4; n++ {
		var sum float64
		compositions(n, 21, func(counts []int64) { sum += math.Exp(logMultinomial(h.p, counts) + h.logE(counts)) })
		if math.Abs(sum-1) > 1e-12 {
			t.Errorf("n = %d: E[e] = %.17g", n, sum)
		}
	}
}

// Draw by draw, with shares that change during the run and depend on what was
// drawn before: the epoch of each draw is chosen from the history, as a rule set
// with state does. Every path of 12 draws is walked.
func TestExpectationWithChangingShares(t *testing.T) {
	for _, c := range []struct {
		name   string
		epochs []measure.Epoch
		n      int
		next   func(history []int) int
	}{
		{"two cells, change after five", []measure.Epoch{even(t, 2), epoch(t, "1/5", "4/5")}, 12,
			func(h []int) int { return len(h) / 6 }},
		{"two cells, the last draw decides", []measure.Epoch{even(t, 2), epoch(t, "1/3", "2/3")}, 12,
			func(h []int) int {
				if len(h) == 0 {
					return 0
				}
				return h[len(h)-1]
			}},
		{"three cells, the last draw decides", []measure.Epoch{even(t, 3), epoch(t, "1/3", "2/9", "4/9"), epoch(t, "1/10", "1/10", "4/5")}, 12,
			func(h []int) int {
				if len(h) == 0 {
					return 0
				}
				return h[len(h)-1]
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() {
				c.n = 8
			}
			sums := make([]float64, c.n+1)
			var walk func(p Process, epochs []epochProcess, history []int, weight float64)
			walk = func(p Process, epochs []epochProcess, history []int, weight float64) {
				use := Process{threshold: math.Inf(1), current: -1}
				for i := range epochs {
					use.epochs = append(use.epochs, &epochs[i])
				}
				sums[len(history)] += weight * math.Exp(use.LogE())
				if len(history) == c.n {
					return
				}
				at := c.next(history)
				for cell := range c.epochs[at].Cells {
					branch := make([]epochProcess, len(epochs))
					for i, e := range epochs {
						branch[i] = e
						branch[i].counts = append([]int64(nil), e.counts...)
					}
					next := Process{threshold: math.Inf(1), current: -1}
					for i := range branch {
						next.epochs = append(next.epochs, &branch[i])
					}
					next.Add(at, cell)
					walk(next, branch, append(history[:len(history):len(history)], cell), weight*epochs[at].p[cell])
				}
			}
			var start []epochProcess
			for _, e := range c.epochs {
				start = append(start, *newEpochProcess(newNull(e)))
			}
			walk(Process{}, start, nil, 1)
			for n, sum := range sums {
				if math.Abs(sum-1) > 1e-12 {
					t.Errorf("n = %d: E[e] = %.17g", n, sum)
				}
			}
		})
	}
}

// Two ways to the same number: running products, and rising factorials of counts.
func TestProcessAgreesWithCounts(t *testing.T) {
	for _, k := range []int{2, 3, 10, 25, 100} {
		e := even(t, k)
		d := newDrawer(uint64(k), evenFloats(k)...)
		d.set(append([]float64{1.5 / float64(k)}, evenFloats(k)[1:]...)) // off: large e-values too
		p, x := NewProcess(NewPlan(1), []measure.Epoch{e}), measure.NewTally(e)
		for n := 1; n <= 20000; n++ {
			cell := d.draw()
			p.Add(0, cell)
			x.Add(cell)
			if n&(n-1) == 0 || n == 20000 {
				a, b := p.LogE(), LogE([]*measure.Tally{x})
				if math.Abs(a-b) > 1e-8*(1+math.Abs(b)) {
					t.Errorf("k = %d, n = %d: by draws %.12g, by counts %.12g", k, n, a, b)
				}
			}
		}
	}
}

// RefutedAt is the first draw at which the product of all epochs reaches m/α, also
// when epochs take turns: the same as looking at LogE after every draw.
func TestRefutedAtIsTheFirstCrossing(t *testing.T) {
	for _, k := range []int{3, 30} {
		epochs := []measure.Epoch{even(t, k), even(t, 2)}
		for seed := range uint64(20) {
			plan := Plan{Alpha: 1e-3, Checks: 2}
			p := NewProcess(plan, epochs)
			many := newDrawer(seed, append([]float64{3 / float64(k)}, evenFloats(k)[1:]...)...)
			two := newDrawer(seed, 0.4, 0.6)
			var first int64
			for n := int64(1); n <= 3000 && first == 0; n++ {
				if n%3 == 0 {
					p.Add(1, two.draw())
				} else {
					p.Add(0, many.draw())
				}
				if p.LogE() >= plan.LogThreshold() {
					first = n
				}
			}
			if first == 0 || p.RefutedAt() != first {
				t.Errorf("k = %d, seed %d: refuted at %d, the first crossing is %d", k, seed, p.RefutedAt(), first)
			}
		}
	}
}

func TestTheImpossibleRefutesAtOnce(t *testing.T) {
	p := NewProcess(NewPlan(1), []measure.Epoch{epoch(t, "1/2", "1/2", "0")})
	if p.Add(0, 0) || !p.Add(0, 2) || p.RefutedAt() != 2 || !math.IsInf(p.LogE(), 1) {
		t.Errorf("a cell of share zero: refuted at %d, log e-value %g", p.RefutedAt(), p.LogE())
	}
	p = NewProcess(NewPlan(1), []measure.Epoch{even(t, 2)})
	if !p.AddImpossible() || p.RefutedAt() != 1 || !math.IsInf(p.LogE(), 1) {
		t.Errorf("an outcome outside: refuted at %d", p.RefutedAt())
	}
}
