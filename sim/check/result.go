package check

import (
	"math"
	"math/big"

	"github.com/svclab/svclab/sim/measure"
)

// Result is what one check found. A report renders it; floats in it are for
// printing with at most six significant digits.
type Result struct {
	Name    string
	Verdict Verdict
	Reason  string // one sentence; never empty

	N        int64            // draws, connections or samples looked at
	Shares   *SharesFinding   // of a shares check
	Equal    *EqualFinding    // of an exact comparison
	Measured *MeasuredFinding // of a threshold
}

// SharesFinding is the evidence of a shares check.
type SharesFinding struct {
	Exact         *ExactFinding // the exact half; nil when the check states no expectation
	Sampled       Verdict       // the sampled half alone
	LogE          float64       // natural log of the e-value; +Inf when the impossible was seen
	LogThreshold  float64       // ln(m/α): refuted from here on
	Level         float64       // risk of each interval, α/(k·m)
	Risk, RiskSum float64       // of this run, and of it with the runs before it
	Margin        Margin
	Backends      []BackendFinding // in the order of first appearance in the epochs
	Familiar      Familiar         // chi-square and G beside
	WithinMargin  bool             // every interval lies in the margin
}

// EValue is exp(LogE), or 1e300 where that is larger or infinite: JSON has no
// infinity, and LogE keeps the difference.
func (f *SharesFinding) EValue() float64 { return min(math.Exp(f.LogE), 1e300) }

// BackendFinding is one outcome's row.
type BackendFinding struct {
	Outcome     measure.Outcome
	Expected    *big.Rat // exact share over all draws: Σ n_e·p_e / Σ n_e; that of the epoch alone when there is one
	Observed    int64    // draws
	Share       float64  // Observed over all draws
	Low, High   float64  // confidence sequence for the share; both ends included
	Effect      float64  // Observed over expected count, minus 1
	Margin      float64  // how far Low and High may lie from Expected, in share
	InMargin    bool
	Impossible  bool // seen although its share is zero in that epoch
	Determinate bool // share 1 or 0 in every epoch: exact, no interval needed
}

// WithDoubt turns PASS and FAIL into INCONCLUSIVE with this reason ahead of the
// old one: for evidence that something outside the check has spoiled, such as
// retransmissions beside packet counters. An empty reason changes nothing.
func (r Result) WithDoubt(reason string) Result {
	if reason == "" || r.Verdict == NotCompared {
		return r
	}
	was := r.Verdict
	r.Verdict = Inconclusive
	r.Reason = reason + " (without that: " + was.String() + ", " + r.Reason + ")"
	return r
}

// Missing is the result of a check that could not be made, with its reason.
func Missing(name, reason string) Result {
	return Result{Name: name, Verdict: NotCompared, Reason: reason}
}
