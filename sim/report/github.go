package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// What GitHub takes: annotations shown for one step, and bytes of a job summary
// (docs.github.com, "Workflow commands for GitHub Actions").
const (
	maxAnnotations  = 10
	MaxSummaryBytes = 1 << 20
)

// escapeData and escapeProperty spell a message and a property of a workflow command.
var (
	escapeData     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	escapeProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// WriteAnnotations prints a workflow command for each check that did not pass, the worst ten: an error for FAIL and a warning for
// what stayed open, at the line of the scenario file where the check or its traffic stands.
func (r *Report) WriteAnnotations(w io.Writer, file string) error {
	list := slices.DeleteFunc(slices.Clone(r.Checks), func(c Check) bool { return c.Verdict == Pass })
	slices.SortStableFunc(list, func(a, b Check) int { return gravity[b.Verdict] - gravity[a.Verdict] })
	if len(list) > maxAnnotations {
		list = list[:maxAnnotations]
	}
	var b strings.Builder
	for _, c := range list {
		level := "warning"
		if c.Verdict == Fail {
			level = "error"
		}
		at := "file=" + escapeProperty.Replace(file)
		if c.Line > 0 {
			at += fmt.Sprintf(",line=%d", c.Line)
		}
		text := c.Verdict + ": " + c.Reason
		if c.Reproduce != "" {
			text += "\nagain: " + c.Reproduce
		}
		fmt.Fprintf(&b, "::%s %s,title=%s::%s\n", level, at, escapeProperty.Replace(r.Scenario+": "+c.Name), escapeData.Replace(text))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// gravity orders verdicts.
var gravity = map[string]int{Pass: 0, Inconclusive: 1, NotCompared: 2, Fail: 3}

// WriteSummary prints the report as Markdown for a job summary, of at most MaxSummaryBytes: what does not fit is left out, and
// the summary says so.
func (r *Report) WriteSummary(w io.Writer) error {
	var b strings.Builder
	head := fmt.Sprintf("## %s: %s %s\n\n", escapeMarkdown(r.Scenario), mark(r.Verdict), r.Verdict)
	b.WriteString(head)
	fmt.Fprintf(&b, "World %s, seed %d, risk of failing by chance %s", r.World, r.Seed, r.Risk)
	if k := r.Kernel; k != nil {
		fmt.Fprintf(&b, "; kernel %s (%s, iptables %s)", escapeMarkdown(k.Release), k.Vehicle, k.Variant)
	}
	b.WriteString(".\n\n")
	for _, n := range r.Warnings {
		fmt.Fprintf(&b, "> %s\n\n", escapeMarkdown(n))
	}
	b.WriteString("| | check | connections | e-value | why |\n| --- | --- | ---: | ---: | --- |\n")
	const end = "\n_The rest did not fit._\n"
	for _, c := range r.Checks {
		e := ""
		if c.EValue != nil {
			e = c.EValue.String()
		}
		line := fmt.Sprintf("| %s %s | %s | %d | %s | %s |\n", mark(c.Verdict), c.Verdict, escapeMarkdown(c.Name), c.N, e, escapeMarkdown(c.Reason))
		if b.Len()+len(line)+len(end) > MaxSummaryBytes {
			b.WriteString(end)
			_, err := io.WriteString(w, b.String())
			return err
		}
		b.WriteString(line)
	}
	for _, c := range r.Checks {
		part := c.summary()
		if part == "" {
			continue
		}
		if b.Len()+len(part)+len(end) > MaxSummaryBytes {
			b.WriteString(end)
			break
		}
		b.WriteString(part)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// summary is what a check has to show beside its line: its endpoints, its differences and the command.
func (c *Check) summary() string {
	if c.Verdict == Pass && len(c.Backends) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n<details><summary>%s</summary>\n\n", escapeMarkdown(c.Name))
	if len(c.Backends) > 0 {
		b.WriteString("| endpoint | expected | observed | interval |\n| --- | ---: | ---: | ---: |\n")
		for _, k := range c.Backends {
			interval := ""
			if k.Low != nil && k.High != nil {
				interval = fmt.Sprintf("%.2f to %.2f %%", float64(*k.Low)*100, float64(*k.High)*100)
			}
			fmt.Fprintf(&b, "| %s | %s | %d | %s |\n", escapeMarkdown(k.Endpoint), percent(k.Expected), k.Observed, interval)
		}
		b.WriteByte('\n')
	}
	for _, d := range c.Differences {
		fmt.Fprintf(&b, "- %s\n", escapeMarkdown(d))
	}
	if c.Verdict != Pass && c.Reproduce != "" {
		fmt.Fprintf(&b, "\n```sh\n%s\n```\n", c.Reproduce)
	}
	b.WriteString("\n</details>\n")
	return b.String()
}

func mark(verdict string) string {
	switch verdict {
	case Pass:
		return "✓"
	case Fail:
		return "✗"
	}
	return "?"
}

// escapeMarkdown keeps a text from being read as Markdown or HTML.
func escapeMarkdown(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "�")
	}
	return markdown.Replace(s)
}

var markdown = strings.NewReplacer(
	"\\", "\\\\", "|", "\\|", "<", "&lt;", ">", "&gt;", "&", "&amp;", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[", "]", "\\]",
	"\r", " ", "\n", " ",
)
