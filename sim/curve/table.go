package curve

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Table writes the result as text.
func (r *Result) Table(w io.Writer) error {
	var b strings.Builder
	for i := range r.Lines {
		if i > 0 {
			b.WriteByte('\n')
		}
		r.Lines[i].table(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (l *Line) table(b *strings.Builder) {
	fmt.Fprintf(b, "%s: kube-proxy %s", l.Series.Name, l.Series.Mode)
	if l.Release != "" {
		fmt.Fprintf(b, ", kernel %s, iptables %s", l.Release, l.Series.Variant)
	}
	b.WriteByte('\n')
	if len(l.Points) > 0 {
		fmt.Fprintf(b, "%10s %12s %12s %22s %22s %12s %12s\n", "Services", "model rules", "", "first p10/p50 µs", "last p10/p50 µs", "full ms", "one ms")
	}
	for _, p := range l.Points {
		fmt.Fprintf(b, "%10d %12d %12d %22s %22s %12s %12s\n", p.Services, p.FirstRules, p.LastRules, p.First, p.Last, ms(p.FullUpdate), ms(p.OneUpdate))
	}
	f := &l.Fit
	switch {
	case l.Missing != nil:
		fmt.Fprintf(b, "  not measured further: %v\n", l.Missing)
		if len(l.Points) == 0 {
			return
		}
	case len(l.Points) == 0:
		b.WriteString("  not measured\n")
		return
	}
	fmt.Fprintf(b, "  %s: %.3g ns a Service (95 %%: %.3g to %.3g), R² %.4f", l.Shape, f.PerService, f.Low, f.High, f.R2)
	if f.PerRule != 0 {
		fmt.Fprintf(b, "; %.3g ns a rule (%.3g to %.3g)", f.PerRule, f.RuleLow, f.RuleHigh)
	}
	b.WriteByte('\n')
}

func (s Spread) String() string {
	return fmt.Sprintf("%.1f / %.1f", float64(s.P10)/1e3, float64(s.P50)/1e3)
}

func ms(d time.Duration) string { return fmt.Sprintf("%.0f", float64(d)/1e6) }
