package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"math"
	"strings"
	"testing"
)

// Runs of missed rules are folded per chain; a rule that matched between them stands alone, and few stand one by one.
func TestTraceFolds(t *testing.T) {
	tr := &Trace{Verdict: "forward"}
	add := func(chain string, n int, text string) {
		for i := range n {
			tr.Steps = append(tr.Steps, Step{Hook: "PREROUTING", Table: "nat", Chain: chain, Rule: i + 1, Text: text, Result: "miss", Missed: true})
		}
	}
	add("KUBE-SERVICES", 997, "-A KUBE-SERVICES -d 10.0.0.1/32 -j X")
	tr.Steps = append(tr.Steps, Step{Hook: "PREROUTING", Table: "nat", Chain: "KUBE-SERVICES", Rule: 998, Result: "jump KUBE-SVC"})
	add("KUBE-SVC", 250, "-A KUBE-SVC -m statistic --mode random --probability 0.5 -j X")
	add("KUBE-SEP", 4, "-A KUBE-SEP -s 10.0.0.1/32 -j X")
	var b bytes.Buffer
	if err := tr.WriteText(&b, Style{}); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{"… 997 rules missed", "other destinations or sources", "1-997", "998  ✓  jump KUBE-SVC", "… 250 rules missed", "by their draws"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	if n := strings.Count(page, "-s 10.0.0.1/32"); n != 4 {
		t.Errorf("%d of 4 single misses shown", n)
	}
	if lines := strings.Count(page, "\n"); lines > 20 {
		t.Errorf("%d lines", lines)
	}
}

// A rule is shown without its chain, its comment last.
func TestConditions(t *testing.T) {
	for in, want := range map[string]string{
		`-A C -p tcp -m comment --comment "a b" -m tcp --dport 80 -j X`: `-p tcp -m tcp --dport 80 -j X  # a b`,
		`-A C -m comment --comment one -j X`:                            `-j X  # one`,
		`-A C -j X`:                                                     `-j X`,
		`-A C -m comment --comment "unclosed`:                           `# "unclosed`,
	} {
		if got := strings.TrimSpace(conditions(in)); got != want && got != strings.ReplaceAll(want, `"`, "") {
			t.Errorf("%s\n got %s\nwant %s", in, got, want)
		}
	}
}

// Numbers have at most six significant digits in every form, and infinities are words.
func TestNumbers(t *testing.T) {
	for x, want := range map[float64]string{
		0.1 + 0.2: "0.3", 1e-6: "1e-06", 2.5493e20: "2.5493e+20", 100000: "100000", math.Inf(1): `"+Inf"`, 1.0 / 3: "0.333333",
	} {
		b, err := json.Marshal(Number(x))
		if err != nil || string(b) != want {
			t.Errorf("%v: %s, want %s (%v)", x, b, want, err)
		}
	}
	if b, _ := json.Marshal(DecimalOf(715827883.0 / (1 << 31))); string(b) != "0.33333333349" {
		t.Errorf("a third: %s", b)
	}
}

// A report in each of its verdicts: exit code, and what JUnit says of it.
func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		verdict       string
		code, strict  int
		failures, skp int
	}{
		{Pass, 0, 0, 0, 0}, {Fail, 1, 1, 1, 0}, {Inconclusive, 0, 4, 0, 1}, {NotCompared, 0, 4, 0, 1},
	} {
		r := &Report{Scenario: "s & <t>", Verdict: c.verdict, Checks: []Check{{Name: "c", Verdict: c.verdict, Reason: "why \"so\""}}}
		if got := r.ExitCode(false); got != c.code {
			t.Errorf("%s: exit %d, want %d", c.verdict, got, c.code)
		}
		if got := r.ExitCode(true); got != c.strict {
			t.Errorf("%s, strict: exit %d, want %d", c.verdict, got, c.strict)
		}
		var b bytes.Buffer
		if err := r.WriteJUnit(&b, false); err != nil {
			t.Fatal(err)
		}
		var suite junitSuite
		if err := xml.Unmarshal(b.Bytes(), &suite); err != nil {
			t.Fatalf("%v\n%s", err, b.String())
		}
		if suite.Name != r.Scenario || suite.Tests != 1 || suite.Failures != c.failures || suite.Skipped != c.skp {
			t.Errorf("%s: %+v", c.verdict, suite)
		}
	}
}

// The fields of the contract, in its order.
func TestOrderOfFields(t *testing.T) {
	for _, c := range []struct {
		value any
		order string
	}{
		{&Trace{RejectWith: "x", Steps: []Step{}}, "schemaVersion kind verdict rewritten masquerade outcomes rejectWith steps"},
		{&Explanation{SamplesToNotice: Num(1)}, "schemaVersion kind service mode uniform maxDeviation samplesToNotice backends paths"},
		{&Report{}, "schemaVersion kind scenario seed world verdict risk checks"},
		{&Check{EValue: Num(1), Backends: []Backend{{}}}, "name verdict reason n eValue backends reproduce"},
		{&Backend{Low: Num(0), High: Num(1)}, "endpoint expected observed low high"},
		{&Target{}, "endpoint probability decimal rulesPassed"},
		{&Way{}, "to from verdict masquerade backends"},
		{&Step{Table: "nat", Chain: "C", Rule: 1, Text: "-A"}, "hook table chain rule text result"},
	} {
		b, err := json.Marshal(c.value)
		if err != nil {
			t.Fatal(err)
		}
		at := 0
		for name := range strings.FieldsSeq(c.order) {
			i := strings.Index(string(b)[at:], fmt.Sprintf("%q:", name))
			if i < 0 {
				t.Errorf("%T: %q is missing or out of order in %s", c.value, name, b)
				break
			}
			at += i
		}
	}
}
