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
