package report

import (
	"fmt"
	"io"
	"strings"
)

// WriteMarkdown prints the report for a change request or a wiki: checks, their endpoints, what became of traffic, and what
// happened when.
func (r *Report) WriteMarkdown(w io.Writer) error {
	if err := r.WriteSummary(w); err != nil {
		return err
	}
	var b strings.Builder
	if len(r.Traffic) > 0 {
		b.WriteString("\n| traffic | connections | answered | rejected | dropped | requests | not answered |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n")
		for _, t := range r.Traffic {
			fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %d |\n", escapeMarkdown(t.Name), t.Connections, t.Answered, t.Rejected, t.Dropped, t.Requests, t.Failed)
		}
	}
	times := false
	for _, t := range r.Traffic {
		for _, x := range t.times() {
			if !times {
				b.WriteString("\n| traffic | time of | n | p50 | p90 | p99 | p99.9 | max |\n| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n")
				times = true
			}
			fmt.Fprintf(&b, "| %s | %s | %d | %s | %s | %s | %s | %s |\n", escapeMarkdown(t.Name), x.what, x.p.N, x.p.P50, x.p.P90, x.p.P99, x.p.P999, x.p.Max)
		}
	}
	for i := range r.Paths {
		p := &r.Paths[i]
		fmt.Fprintf(&b, "\n| %s, connection %d | %s, looked up by %s |\n| ---: | --- |\n", escapeMarkdown(p.Traffic), p.Connection, escapeMarkdown(p.Name), p.Client)
		for _, s := range p.Steps {
			what := escapeMarkdown(s.What)
			if s.Node != "" {
				what += ", by way of " + escapeMarkdown(s.Node)
			}
			for _, l := range s.Rules {
				what += "<br>" + escapeMarkdown(l)
			}
			fmt.Fprintf(&b, "| %s | %s |\n", s.At, what)
		}
	}
	if len(r.Timeline) > 0 {
		b.WriteString("\n| at | node | what happened |\n| ---: | --- | --- |\n")
		for _, m := range r.Timeline {
			what := escapeMarkdown(m.What)
			for _, l := range m.Log {
				what += "<br>" + escapeMarkdown(l)
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", m.At, escapeMarkdown(m.Node), what)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
