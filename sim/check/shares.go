package check

import (
	"fmt"
	"math"
	"math/big"

	"github.com/svclab/svclab/sim/measure"
)

// SharesCheck is a shares check, fixed before the run.
type SharesCheck struct {
	Name   string
	Plan   Plan
	Expect *Expectation // the exact half; nil where only chain and observation are compared
	Margin Margin
	Doubt  string // a reason that makes the result INCONCLUSIVE whatever it says; see Result.WithDoubt
}

// Check judges the draws of all epochs. Both halves must hold for PASS; FAIL of
// either is FAIL. The error (an *InputError) is of the plan alone.
func (c SharesCheck) Check(tallies []*measure.Tally) (Result, error) {
	if err := c.Plan.Validate(); err != nil {
		return Result{}, err
	}
	r := Result{Name: c.Name}
	f := &SharesFinding{
		LogE: LogE(tallies), LogThreshold: c.Plan.LogThreshold(), Margin: c.Margin,
		Risk: c.Plan.Risk(), RiskSum: c.Plan.RiskSum(), Familiar: FamiliarTests(tallies),
	}
	r.Shares = f
	var epochs []measure.Epoch
	for _, t := range tallies {
		r.N += t.N()
		epochs = append(epochs, t.Epoch)
	}
	f.backends(rows(tallies), r.N, c)
	sampled := f.sampled(r.N)
	r.Verdict, r.Reason = f.Sampled, sampled
	if c.Expect != nil && len(epochs) > 0 {
		exact := c.Expect.Exact(epochs)
		f.Exact = &exact
		r.Reason = exact.Reason + "; " + sampled
		if !exact.Holds {
			r.Verdict = Fail
		}
	}
	return r.WithDoubt(c.Doubt), nil
}

// backends fills the rows: intervals, effects and whether they lie in the margin.
func (f *SharesFinding) backends(list []*row, n int64, c SharesCheck) {
	random := 0
	for _, r := range list {
		if len(r.arms) > 0 {
			random++
		}
	}
	f.Level = c.Plan.CellLevel(random)
	f.WithinMargin = n > 0
	for _, r := range list {
		b := BackendFinding{Outcome: r.outcome, Expected: new(big.Rat), Observed: r.observed, Impossible: r.impossible}
		if n > 0 {
			b.Expected.Quo(r.expected, new(big.Rat).SetInt64(n))
			b.Share = float64(r.observed) / float64(n)
		}
		if expected, _ := r.expected.Float64(); expected > 0 {
			b.Effect = float64(r.observed)/expected - 1
		}
		b.Margin, _ = c.Margin.Of(b.Expected).Float64()
		b.interval(r, n, f.Level)
		want, _ := b.Expected.Float64()
		b.InMargin = !b.Impossible && (b.Determinate || n > 0 && b.Low >= want-b.Margin && b.High <= want+b.Margin)
		f.WithinMargin = f.WithinMargin && b.InMargin
		f.Backends = append(f.Backends, b)
	}
}

// interval scales the relative confidence sequence to the share over all draws:
// draws of epochs without a choice stand fixed beside it.
func (b *BackendFinding) interval(r *row, n int64, level float64) {
	var drawn float64 // expected draws where there was a choice
	for _, a := range r.arms {
		drawn += float64(a.n) * a.p
	}
	if len(r.arms) == 0 {
		b.Determinate = true
		b.Low, b.High = b.Share, b.Share
		return
	}
	if n == 0 || drawn == 0 {
		b.Low, b.High = 0, 1
		return
	}
	low, high := relativeInterval(r.arms, level)
	total := float64(n)
	b.Low = max(0, (float64(r.fixed)+drawn*(1+low))/total)
	b.High = min(1, (float64(r.fixed)+drawn*(1+high))/total)
}

// sampled decides the sampled half and says why.
func (f *SharesFinding) sampled(n int64) string {
	worst, widest := -1, -1
	for i, b := range f.Backends {
		if b.Impossible {
			f.Sampled = Fail
			return fmt.Sprintf("%s was seen, although the rules can never choose it", b.Outcome)
		}
		if worst < 0 || math.Abs(b.Effect) > math.Abs(f.Backends[worst].Effect) {
			worst = i
		}
		if !b.InMargin && (widest < 0 || b.High-b.Low > f.Backends[widest].High-f.Backends[widest].Low) {
			widest = i
		}
	}
	switch {
	case n == 0:
		f.Sampled = Inconclusive
		return "no draw was seen"
	case f.LogE >= f.LogThreshold:
		f.Sampled = Fail
		b := f.Backends[worst]
		s := fmt.Sprintf("the draws refute the shares: %s got %d of %d, %+.3g%% of its share (e-value %s, limit %.3g)",
			b.Outcome, b.Observed, n, 100*b.Effect, formatLog(f.LogE), math.Exp(f.LogThreshold))
		if f.WithinMargin {
			s += "; real, but smaller than the margin"
		}
		return s
	case f.WithinMargin:
		f.Sampled = Pass
		return fmt.Sprintf("%d draws agree: every backend within %s of its share", n, f.Margin)
	default:
		f.Sampled = Inconclusive
		b := f.Backends[widest]
		return fmt.Sprintf("%d draws neither refute the shares nor show them within %s: %s lies between %.4g and %.4g",
			n, f.Margin, b.Outcome, b.Low, b.High)
	}
}

// formatLog prints exp(x) with three digits however large it is.
func formatLog(x float64) string {
	if x < 700 {
		return fmt.Sprintf("%.3g", math.Exp(x))
	}
	tens := x / math.Ln10
	return fmt.Sprintf("10^%.0f", math.Floor(tens))
}
