package check

import (
	"fmt"
	"math"
)

// DefaultAlpha is the risk of one run to fail by chance alone.
const DefaultAlpha = 1e-6

// Plan fixes, before the run, the risk and the number of checks that share it.
type Plan struct {
	Alpha  float64 // risk of the first run, all checks together; 0 < Alpha < 1
	Checks int     // m: checks with chance in them, fixed before the run; at least 1
	Rerun  int     // 0 for the first run, i for the i-th rerun after a FAIL
}

// NewPlan returns the plan of a first run with the default risk.
func NewPlan(checks int) Plan { return Plan{Alpha: DefaultAlpha, Checks: max(checks, 1)} }

// Validate returns an *InputError for a plan that means nothing.
func (p Plan) Validate() error {
	switch {
	case !(p.Alpha > 0 && p.Alpha < 1):
		return &InputError{"plan", fmt.Sprintf("alpha %g", p.Alpha), "must lie between 0 and 1"}
	case p.Checks < 1:
		return &InputError{"plan", fmt.Sprintf("%d checks", p.Checks), "must be at least 1"}
	case p.Rerun < 0:
		return &InputError{"plan", fmt.Sprintf("rerun %d", p.Rerun), "must not be negative"}
	}
	return nil
}

// Risk is what this run may spend: Alpha for the first, Alpha·2^-(i+1) for
// rerun i = 1, 2, …
func (p Plan) Risk() float64 {
	if p.Rerun == 0 {
		return p.Alpha
	}
	return math.Ldexp(p.Alpha, -(p.Rerun + 1))
}

// RiskSum is the risk spent by the first run and all reruns up to this one. It
// stays below 1.5 Alpha however often one tries again.
func (p Plan) RiskSum() float64 {
	sum := p.Alpha
	for i := 1; i <= p.Rerun; i++ {
		sum += math.Ldexp(p.Alpha, -(i + 1))
	}
	return sum
}

// LogThreshold is ln(m/α): a check fails when its log e-value reaches it.
func (p Plan) LogThreshold() float64 { return math.Log(float64(p.Checks)) - math.Log(p.Risk()) }

// CellLevel is the risk of one of k confidence sequences: α/(k·m).
func (p Plan) CellLevel(k int) float64 {
	return p.Risk() / (float64(max(k, 1)) * float64(p.Checks))
}

// String is the line of the report.
func (p Plan) String() string {
	if p.Rerun == 0 {
		return fmt.Sprintf("risk %.3g over %d checks", p.Risk(), p.Checks)
	}
	return fmt.Sprintf("rerun %d: risk %.3g over %d checks, %.3g with the runs before it", p.Rerun, p.Risk(), p.Checks, p.RiskSum())
}
