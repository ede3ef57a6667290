package curve

import (
	"fmt"

	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/report"
)

// Shape is the verdict on a line.
type Shape string

// The shapes.
const (
	Linear   Shape = "linear"
	Flat     Shape = "flat"
	TooNoisy Shape = "too noisy to say"
	NoLine   Shape = report.NotCompared
)

// Rule is the verdict's rule in words, for whoever reads a result.
const Rule = "flat: the slope's interval ends below a twentieth of what iptables costs for each Service in the same vehicle and run " +
	"(where none was measured: of 4 ns); linear: the interval begins above that, and a straight line explains 99 % of the variance " +
	"of the sizes from 1,000 up (of all, where those are fewer than three); too noisy to say: everything else"

// Bounds of the verdict.
const (
	flatShare     = 0.05
	leastPerRule  = 4.0 // ns, the least that iptables was measured to take for each rule
	linearR2      = 0.99
	straightFrom  = 1000 // Services
	fewestSizes   = 3
	fewestRounds  = 6
	intervalLevel = 0.95
)

// judge fits the lines and names their shapes. What is linear comes first: it is what flat is measured by.
func (r *Result) judge() {
	for i := range r.Lines {
		l := &r.Lines[i]
		if len(l.Points) == 0 {
			l.Shape = NoLine
			continue
		}
		l.fit()
		l.Bound = flatShare * leastPerRule
		l.name()
	}
	for i := range r.Lines {
		l := &r.Lines[i]
		if l.Shape == NoLine || l.Series.Mode == service.ModeIPTables {
			continue
		}
		if against := r.reference(l); against != nil {
			l.Against, l.Bound = against.Series.Name, flatShare*against.Fit.PerService.Low
			l.name()
		}
	}
}

// reference is the line of iptables in the same vehicle.
func (r *Result) reference(l *Line) *Line {
	for i := range r.Lines {
		o := &r.Lines[i]
		if o.Shape == Linear && o.Series.Mode == service.ModeIPTables && o.Series.Vehicle == l.Series.Vehicle {
			return o
		}
	}
	return nil
}

// name names the shape, and why it is that.
func (l *Line) name() {
	s, against := l.Fit.PerService, fmt.Sprintf("%.3g ns", l.Bound)
	if l.Against != "" {
		against += ", a twentieth of " + l.Against
	}
	l.Shape = TooNoisy
	switch {
	case len(l.Points) < fewestSizes:
		l.Why = fmt.Sprintf("%d sizes were measured, %d are needed", len(l.Points), fewestSizes)
	case l.Fit.Rounds < fewestRounds:
		l.Why = fmt.Sprintf("%d whole rounds were measured, %d are needed", l.Fit.Rounds, fewestRounds)
	case s.High < -l.Bound:
		l.Why = fmt.Sprintf("the line falls by more than %s", against)
	case s.High < l.Bound:
		l.Shape, l.Why = Flat, fmt.Sprintf("the interval ends below %s", against)
	case s.Low <= l.Bound:
		l.Why = fmt.Sprintf("the interval holds %s; more --rounds or a quieter machine make it narrower", against)
	case l.Fit.R2 < linearR2:
		l.Why = fmt.Sprintf("it rises, but a straight line explains %.1f %% of the variance, less than %.0f %%", 100*l.Fit.R2, 100*linearR2)
	default:
		l.Shape, l.Why = Linear, fmt.Sprintf("the interval begins above %s, and a straight line explains %.2f %% of the variance", against, 100*l.Fit.R2)
	}
}

// Ratio is how steep one line is by another's measure.
type Ratio struct {
	Series, To string
	Estimate   // of the slopes' ratio; the interval holds whatever both slopes' intervals allow
}

// Ratios compare each line with one that it is usually asked about: the nft variant with legacy iptables, IPVS with iptables.
func (r *Result) Ratios() []Ratio {
	var out []Ratio
	for i := range r.Lines {
		l := &r.Lines[i]
		for j := range r.Lines {
			o := &r.Lines[j]
			if i == j || o.Shape != Linear || len(l.Points) == 0 || o.Series.Vehicle != l.Series.Vehicle || o.Series.Mode != service.ModeIPTables ||
				l.Series.Mode == o.Series.Mode && l.Series.Variant <= o.Series.Variant {
				continue
			}
			a, b := l.Fit.PerService, o.Fit.PerService
			low, high := a.Low/b.High, a.High/b.Low
			if a.Low < 0 {
				low = a.Low / b.Low
			}
			if a.High < 0 {
				high = a.High / b.High
			}
			out = append(out, Ratio{l.Series.Name, o.Series.Name, Estimate{a.Value / b.Value, low, high}})
		}
	}
	return out
}
