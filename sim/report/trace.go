package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Trace is one packet's walk.
type Trace struct {
	SchemaVersion string    `json:"schemaVersion"`
	Kind          string    `json:"kind"` // "Trace"
	Verdict       string    `json:"verdict"`
	Rewritten     Addresses `json:"rewritten"`
	Masquerade    bool      `json:"masquerade"`
	Outcomes      []Outcome `json:"outcomes"`
	RejectWith    string    `json:"rejectWith,omitempty"`
	Reason        string    `json:"reason,omitempty"` // why the packet ended outside any rule
	Steps         []Step    `json:"steps"`

	Packet Addresses `json:"-"` // as it came in
	Proto  string    `json:"-"`
	In     string    `json:"-"` // interface it came in by, "" for a local packet
	Out    string    `json:"-"`
	Rules  int       `json:"-"` // rules tried
	Draws  int       `json:"-"`
	Seed   uint64    `json:"-"`
}

// Addresses are a packet's two ends.
type Addresses struct {
	Src string `json:"src"`
	Dst string `json:"dst"`
}

// Outcome is one endpoint that a packet could be sent to.
type Outcome struct {
	Endpoint    string `json:"endpoint"`
	Probability string `json:"probability"`
	Masquerade  bool   `json:"masquerade"`
	Exact       *bool  `json:"exact,omitempty"` // false when the probability is rounded
}

// Step is one thing that happened to a packet.
type Step struct {
	Hook   string `json:"hook"`
	Table  string `json:"table,omitempty"`
	Chain  string `json:"chain,omitempty"`
	Rule   int    `json:"rule,omitempty"`
	Text   string `json:"text,omitempty"`
	Result string `json:"result"`

	Missed bool   `json:"-"` // a rule whose conditions did not hold
	What   string `json:"-"` // of a step that is no rule: "connection", "route", "translation", "policy"
}

// foldAbove is the number of missed rules in a row that are shown one by one.
const foldAbove = 4

// WriteText prints the walk as a page: one line a step, columns for hook, table, chain and rule, runs of missed rules
// folded, and below it what became of the packet and what else could have.
func (t *Trace) WriteText(w io.Writer, s Style) error {
	var b strings.Builder
	arrow := s.sign("→", "->")
	enters := "sent by the node itself"
	if t.In != "" {
		enters = "arrives by " + t.In
	}
	fmt.Fprintf(&b, "%s  %s\n\n", s.Bold(fmt.Sprintf("%s %s %s %s", t.Proto, t.Packet.Src, arrow, t.Packet.Dst)), enters)
	t.steps(s).write(&b, "")
	b.WriteByte('\n')
	t.ending(&b, s)
	_, err := io.WriteString(w, b.String())
	return err
}

func (t *Trace) steps(s Style) *table {
	out := &table{right: map[int]bool{3: true}}
	out.paint(s.Bold, "HOOK", "TABLE", "CHAIN", "RULE", "", "RESULT", "CONDITIONS")
	var last Step
	for i := 0; i < len(t.Steps); i++ {
		st := t.Steps[i]
		run := t.missed(i)
		hook, tab, chain := st.Hook, st.Table, st.Chain
		if hook == last.Hook && i > 0 {
			hook = ""
			if tab == last.Table {
				tab = ""
				if chain == last.Chain {
					chain = ""
				}
			}
		}
		if last = st; st.Rule == 0 && st.What != "policy" {
			last.Table, last.Chain = "", st.What
		}
		if run > foldAbove {
			end := t.Steps[i+run-1]
			out.paint(s.Faint, hook, tab, chain, fmt.Sprintf("%d-%d", st.Rule, end.Rule), s.sign("·", "."),
				fmt.Sprintf("%s %d rules missed", s.sign("…", "..."), run), t.why(i, run))
			i += run - 1
			continue
		}
		number := ""
		if st.Rule > 0 {
			number = strconv.Itoa(st.Rule)
		}
		switch {
		case st.Missed:
			out.paint(s.Faint, hook, tab, chain, number, s.sign("·", "."), st.Result, conditions(st.Text))
		case st.Rule > 0:
			out.add(hook, tab, chain, number, s.sign("✓", "*"), st.Result, conditions(st.Text))
		default:
			result := st.Result
			if st.What == "policy" {
				result += " (policy)"
			} else if chain == "" {
				chain = st.What
			}
			if st.Text == "" {
				out.add(hook, tab, chain, number, "", result)
			} else {
				out.add(hook, tab, chain, number, "", result, st.Text)
			}
		}
	}
	return out
}

// missed is the number of missed rules of one chain that follow one another from step i.
func (t *Trace) missed(i int) int {
	n := 0
	for j := i; j < len(t.Steps) && t.Steps[j].Missed && t.Steps[j].Chain == t.Steps[i].Chain && t.Steps[j].Table == t.Steps[i].Table && t.Steps[j].Hook == t.Steps[i].Hook; j++ {
		if j > i && t.Steps[j].Rule != t.Steps[j-1].Rule+1 {
			break
		}
		n++
	}
	return n
}

// why names what most of a run of missed rules missed on.
func (t *Trace) why(i, n int) string {
	statistic := 0
	for _, s := range t.Steps[i : i+n] {
		if strings.Contains(s.Text, "-m statistic") {
			statistic++
		}
	}
	switch {
	case statistic == n:
		return "by their draws"
	case statistic > 0:
		return fmt.Sprintf("%d of them by their draws", statistic)
	}
	return "other destinations or sources"
}

// conditions shortens a rule as printed: without its chain, and with its comment last.
func conditions(rule string) string {
	words := strings.TrimSpace(rule)
	if rest, ok := strings.CutPrefix(words, "-A "); ok {
		_, words, _ = strings.Cut(rest, " ")
	}
	before, rest, ok := strings.Cut(words, "-m comment --comment ")
	if !ok {
		return words
	}
	comment, after := rest, ""
	if strings.HasPrefix(rest, `"`) {
		if end := strings.Index(rest[1:], `"`); end >= 0 {
			comment, after = rest[:end+2], rest[end+2:]
		}
	} else {
		comment, after, _ = strings.Cut(rest, " ")
	}
	return strings.TrimSpace(strings.TrimSpace(before)+" "+strings.TrimSpace(after)) + "  # " + strings.Trim(comment, `"`)
}

func (t *Trace) ending(b *strings.Builder, s Style) {
	arrow := s.sign("→", "->")
	switch t.Verdict {
	case "drop":
		fmt.Fprintf(b, "%s  %s\n", s.Bad(s.sign("✗ ", "!! ")+"dropped"), t.Reason)
	case "reject":
		fmt.Fprintf(b, "%s  with %s\n", s.Bad(s.sign("✗ ", "!! ")+"rejected"), t.RejectWith)
	default:
		what := map[string]string{"forward": "forwarded", "local": "delivered here", "accept": "accepted, no Service rule took it"}[t.Verdict]
		if what == "" {
			what = t.Verdict
		}
		fmt.Fprintf(b, "%s  %s %s %s", s.Good(s.sign("✓ ", "ok ")+what), t.Rewritten.Src, arrow, t.Rewritten.Dst)
		if t.Out != "" {
			fmt.Fprintf(b, " by %s", t.Out)
		}
		if t.Masquerade {
			b.WriteString(", source masqueraded")
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(b, "   %d rules tried, %d draws, seed %d\n", t.Rules, t.Draws, t.Seed)
	if len(t.Outcomes) == 0 {
		return
	}
	b.WriteString("\n" + s.Bold("This packet could be sent to") + "\n")
	out := &table{}
	for _, o := range t.Outcomes {
		note := ""
		if o.Masquerade {
			note = "masqueraded"
		}
		mark := "  "
		if o.Endpoint == t.Rewritten.Dst {
			mark = s.sign("▸ ", "> ")
		}
		out.add(mark+o.Endpoint, percent(o.Probability), exactly(o.Probability), note)
	}
	out.write(b, "  ")
}
