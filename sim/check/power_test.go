package check

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/svclab/svclab/sim/measure"
)

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
