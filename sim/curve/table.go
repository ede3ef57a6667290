package curve

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath/service"
)

// Table writes the result as text.
func (r *Result) Table(w io.Writer) error {
	var b strings.Builder
	measured := false
	for i := range r.Lines {
		if i > 0 {
			b.WriteByte('\n')
		}
		r.Lines[i].table(&b)
		measured = measured || len(r.Lines[i].Points) > 0
	}
	if measured {
		r.notes(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// notes compare the lines, and say what columns and verdicts mean.
func (r *Result) notes(b *strings.Builder) {
	b.WriteByte('\n')
	for _, q := range r.Ratios() {
		fmt.Fprintf(b, "%s is %s times as steep as %s\n", q.Series, q.Estimate, q.To)
	}
	fmt.Fprintf(b, `%d rounds of visits in random order, %d blocks of %d connections to each Service in a visit, seed %d
rules: tried by the model for the first packet
p10, p50: of all blocks, for one connection
extra: what the last Service takes longer than the first, fastest blocks, median of visits
full, one: the time to load everything into an empty kernel, and to carry out a sync after one Service changed
in brackets: intervals of 95 %%
`, r.Rounds, r.Blocks, r.Connects, r.Seed)
	for _, l := range strings.Split(Rule, "; ") {
		b.WriteString(l + "\n")
	}
}

func (l *Line) table(b *strings.Builder) {
	fmt.Fprintf(b, "%s: kube-proxy %s", l.Series.Name, l.Series.Mode)
	if l.Release != "" {
		fmt.Fprintf(b, ", Linux %s", l.Release)
		if l.Series.Mode == service.ModeIPTables {
			fmt.Fprintf(b, ", iptables %s", l.Series.Variant)
		}
	}
	b.WriteByte('\n')
	if l.Missing != nil {
		what := string(NoLine)
		if len(l.Points) > 0 {
			what = "not measured further"
		}
		fmt.Fprintf(b, "  %s: %v\n", what, l.Missing)
	} else if len(l.Points) == 0 {
		fmt.Fprintf(b, "  %s: it ended before anything was measured\n", NoLine)
	}
	if len(l.Points) == 0 {
		return
	}
	fmt.Fprintf(b, "  %8s  %14s  %15s  %15s  %24s  %9s  %9s\n", "", "rules", "first, µs", "last, µs", "extra, µs", "full, ms", "one, ms")
	fmt.Fprintf(b, "  %8s  %14s  %15s  %15s  %24s\n", "Services", "first / last", "p10 / p50", "p10 / p50", "")
	for _, p := range l.Points {
		one := "-"
		if p.OneUpdate > 0 {
			one = ms(p.OneUpdate)
		}
		fmt.Fprintf(b, "  %8d  %14s  %15s  %15s  %24s  %9s  %9s\n", p.Services, fmt.Sprintf("%d / %d", p.FirstRules, p.LastRules), p.First, p.Last,
			p.Extra.over(1e3), ms(p.FullUpdate), one)
		if p.Failed > 0 {
			fmt.Fprintf(b, "  %8s  %d blocks left out: connections failed\n", "", p.Failed)
		}
	}
	f := &l.Fit
	fmt.Fprintf(b, "  %s: %s ns a Service", l.Shape, f.PerService)
	if f.PerRule.Value != 0 {
		fmt.Fprintf(b, ", %s ns a rule", f.PerRule)
	}
	fmt.Fprintf(b, "; R² %.4f from %d Services up\n  %s\n", f.R2, f.R2From, l.Why)
	fmt.Fprintf(b, "  the first Service: %.1f µs, and %s ns for each other Service\n", f.Base/1e3, f.First)
}

// String is the value with its interval: 5.31 (5.28 to 5.36).
func (e Estimate) String() string {
	if math.IsInf(e.Low, 0) {
		return fmt.Sprintf("%.3g (no interval)", e.Value)
	}
	return fmt.Sprintf("%.3g (%.3g to %.3g)", e.Value, e.Low, e.High)
}

// over is the value with its interval, in a unit and with two decimals.
func (e Estimate) over(unit float64) string {
	if math.IsInf(e.Low, 0) {
		return fmt.Sprintf("%.2f (no interval)", e.Value/unit)
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", e.Value/unit, e.Low/unit, e.High/unit)
}

func (s Spread) String() string {
	return fmt.Sprintf("%.1f / %.1f", float64(s.P10)/1e3, float64(s.P50)/1e3)
}

func ms(d time.Duration) string { return fmt.Sprintf("%.0f", float64(d)/1e6) }
