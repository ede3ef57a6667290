package check

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"

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

// The chain 1/3, 1/3, rest gives 1/3, 2/9, 4/9: refuted against uniform within
// 800 connections on average at the default risk.
func TestWrongChainIsRefutedEarly(t *testing.T) {
	const runs = 400
	d := newDrawer(3, 1./3, 2./9, 4./9)
	var total int64
	for range runs {
		p := NewProcess(NewPlan(1), []measure.Epoch{even(t, 3)})
		for !p.Add(0, d.draw()) {
			if p.N() > 20000 {
				t.Fatal("not refuted within 20000 connections")
			}
		}
		total += p.RefutedAt()
	}
	mean := float64(total) / runs
	t.Logf("refuted after %.0f connections on average", mean)
	if mean > 800 {
		t.Errorf("refuted after %.0f connections on average, want at most 800", mean)
	}
}

// At the default number of connections, a correct datapath with k ≤ 10 passes:
// at most 1 % INCONCLUSIVE, and no FAIL, over 1,000 seeds each.
func TestDefaultSizeIsEnough(t *testing.T) {
	for k := 2; k <= 10; k++ {
		e := even(t, k)
		got := map[Verdict]int{}
		for seed := range uint64(1000) {
			r := mustCheck(t, SharesCheck{Name: "c", Plan: NewPlan(1), Margin: DefaultMargin()}, multinomial(e, seed, 100000))
			got[r.Verdict]++
		}
		if got[Inconclusive] > 10 || got[Fail] > 0 {
			t.Errorf("k = %d: %v", k, got)
		}
	}
	// 100 endpoints, margin 35 %: not refuted and shown within the margin.
	margin, err := ParseMargin("35%")
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(20) {
		r := mustCheck(t, SharesCheck{Name: "c", Plan: NewPlan(1), Margin: margin}, multinomial(even(t, 100), seed, 100000))
		if r.Verdict != Pass {
			t.Errorf("k = 100, seed %d: %v (%s)", seed, r.Verdict, r.Reason)
		}
	}
}

// multinomial draws counts cell by cell as binomials of what is left.
func multinomial(e measure.Epoch, seed uint64, n int64) *measure.Tally {
	x := measure.NewTally(e)
	src := rand.NewPCG(seed, 77)
	left, rest := n, 1.0
	for i, c := range e.Cells {
		p, _ := c.Share.Float64()
		if i == len(e.Cells)-1 {
			x.Counts[i] = left
			break
		}
		if left > 0 {
			x.Counts[i] = int64(distuv.Binomial{N: float64(left), P: p / rest, Src: src}.Rand())
		}
		left -= x.Counts[i]
		rest -= p
	}
	return x
}

// A planted fault of 5 % on one backend is found with the connections that the
// power table names, about as often as it says.
func TestPowerTableKeepsItsWord(t *testing.T) {
	for _, k := range []int{2, 3, 10, 25} {
		e := even(t, k)
		table := Power(NewPlan(1), DefaultMargin(), e)
		for _, row := range table.Rows {
			if row.Effect != 0.05 {
				continue
			}
			n := row.Connections[1] // 90 %
			const runs = 300
			found := 0
			for seed := range uint64(runs) {
				x := multinomial(biased(t, k, row.Effect), seed, n)
				x.Epoch = e
				if LogE([]*measure.Tally{x}) >= NewPlan(1).LogThreshold() {
					found++
				}
			}
			t.Logf("k = %d: %d connections for 90 %%, found %d of %d; margin %v", k, n, found, runs, table.Margin)
			if share := float64(found) / runs; share < 0.84 || share > 0.985 {
				t.Errorf("k = %d: %d connections find 5 %% in %.1f %% of the runs, the table says 90", k, n, 100*share)
			}
		}
	}
}

// biased has the first of k cells off by a relative effect.
func biased(t *testing.T, k int, effect float64) measure.Epoch {
	t.Helper()
	per := int64(math.Round(effect * 1000))
	// first: (1000+per)/(1000k); others share the rest
	shares := []string{fmt.Sprintf("%d/%d", 1000+per, 1000*k)}
	for range k - 1 {
		shares = append(shares, fmt.Sprintf("%d/%d", int64(1000*k)-1000-per, 1000*k*(k-1)))
	}
	return epoch(t, shares...)
}

func BenchmarkProcessAdd(b *testing.B) {
	for _, k := range []int{3, 10, 100} {
		b.Run(fmt.Sprintf("k=%d", k), func(b *testing.B) {
			p := NewProcess(NewPlan(1), []measure.Epoch{even(b, k)})
			cells := make([]int, 1<<16)
			d := newDrawer(1, evenFloats(k)...)
			for i := range cells {
				cells[i] = d.draw()
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				p.Add(0, cells[i&(1<<16-1)])
				i++
			}
		})
	}
}

func BenchmarkLogE(b *testing.B) {
	for _, k := range []int{3, 100, 1000} {
		b.Run(fmt.Sprintf("k=%d", k), func(b *testing.B) {
			x := []*measure.Tally{multinomial(even(b, k), 1, 100000)}
			for b.Loop() {
				LogE(x)
			}
		})
	}
}
