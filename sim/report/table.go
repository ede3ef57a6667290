package report

import (
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
)

// WriteText prints the report: each check with its verdict, reason and figures, then the verdict of all.
func (r *Report) WriteText(w io.Writer, s Style) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  world %s, seed %d\n", s.Bold(r.Scenario), r.World, r.Seed)
	if k := r.Kernel; k != nil {
		fmt.Fprintf(&b, "kernel %s, %s, iptables %s\n", k.Release, k.Vehicle, k.Variant)
	}
	for _, t := range r.Traffic {
		fmt.Fprintf(&b, "traffic %s: %d connections, %d answered, %d rejected, %d dropped\n", t.Name, t.Connections, t.Answered, t.Rejected, t.Dropped)
	}
	for _, t := range r.Traffic {
		for _, x := range t.times() {
			fmt.Fprintf(&b, "%s, time of %s: %s\n", t.Name, x.what, x.p)
		}
	}
	for i := range r.Paths {
		r.Paths[i].writeText(&b)
	}
	for i, m := range r.Timeline {
		if i == shownMoments {
			fmt.Fprintf(&b, "and %d more moments: -o markdown and -o json have them\n", len(r.Timeline)-i)
			break
		}
		what := m.What
		if m.Node != "" {
			what = m.Node + ": " + what
		}
		fmt.Fprintf(&b, "at %s  %s\n", m.At, what)
	}
	for _, c := range r.Checks {
		fmt.Fprintf(&b, "\n%s  %s\n   %s\n", s.verdict(c.Verdict), s.Bold(c.Name), c.Reason)
		c.backends(s).write(&b, "   ")
		if c.EValue != nil {
			fmt.Fprintf(&b, "   e-value %s", c.EValue)
			if c.ChiSquare != nil && c.PValue != nil {
				fmt.Fprintf(&b, "; chi-square %s, p %s", c.ChiSquare, c.PValue)
			}
			b.WriteByte('\n')
		}
		if c.Verdict != Pass && c.Reproduce != "" {
			fmt.Fprintf(&b, "   again: %s\n", c.Reproduce)
		}
	}
	for _, n := range r.Warnings {
		fmt.Fprintf(&b, "\n%s %s\n", s.Warn("!"), n)
	}
	fmt.Fprintf(&b, "\n%s  risk of failing by chance %s\n", s.verdict(r.Verdict), r.Risk)
	_, err := io.WriteString(w, b.String())
	return err
}

// shownMoments bounds what the text tells of the timeline.
const shownMoments = 12

func (c *Check) backends(s Style) *table {
	t := &table{right: map[int]bool{2: true, 3: true}}
	if len(c.Backends) == 0 {
		return t
	}
	t.paint(s.Faint, "ENDPOINT", "EXPECTED", "", "OBSERVED", "SHARE", "INTERVAL")
	for _, k := range c.Backends {
		share, interval := "", ""
		if c.N > 0 {
			share = percentOf(big.NewRat(k.Observed, c.N))
		}
		if k.Low != nil && k.High != nil {
			interval = fmt.Sprintf("%.2f to %.2f %%", float64(*k.Low)*100, float64(*k.High)*100)
		}
		t.add(k.Endpoint, k.Expected, percent(k.Expected), strconv.FormatInt(k.Observed, 10), share, interval)
	}
	return t
}
