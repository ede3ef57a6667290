package run

import (
	"github.com/svclab/svclab/sim/check"
	"github.com/svclab/svclab/sim/report"
)

// powerOf turns a power table into its form in reports; nil when nothing draws.
func powerOf(t check.PowerTable) *report.Power {
	if len(t.Rows) == 0 {
		return nil
	}
	p := &report.Power{Margin: t.Margin}
	for _, x := range t.Powers {
		p.Powers = append(p.Powers, report.Number(x))
	}
	for _, r := range t.Rows {
		p.Rows = append(p.Rows, report.PowerRow{Effect: report.Number(r.Effect), Endpoint: r.Outcome.String(), Connections: r.Connections})
	}
	return p
}
