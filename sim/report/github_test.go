package report

import (
	"fmt"
	"strings"
	"testing"
)

// Spelling of workflow commands: docs.github.com, "Workflow commands for GitHub Actions", and the runner's own unescaping.
func TestAnnotations(t *testing.T) {
	r := &Report{Scenario: "a,b:c%", Checks: []Check{
		{Name: "fine", Verdict: Pass, Reason: "not shown"},
		{Name: "open", Verdict: Inconclusive, Reason: "few"},
		{Name: "bad", Verdict: Fail, Reason: "50 % off\r\nfor sure", Reproduce: "svclab run x", Line: 7},
		{Name: "none", Verdict: NotCompared, Reason: "no kernel"},
	}}
	var b strings.Builder
	if err := r.WriteAnnotations(&b, "dir,1/x:y.yaml"); err != nil {
		t.Fatal(err)
	}
	want := "::error file=dir%2C1/x%3Ay.yaml,line=7,title=a%2Cb%3Ac%25%3A bad::FAIL: 50 %25 off%0D%0Afor sure%0Aagain: svclab run x\n" +
		"::warning file=dir%2C1/x%3Ay.yaml,title=a%2Cb%3Ac%25%3A none::NOT-COMPARED: no kernel\n" +
		"::warning file=dir%2C1/x%3Ay.yaml,title=a%2Cb%3Ac%25%3A open::INCONCLUSIVE: few\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

// Ten annotations are shown of one step: the worst are printed, and no more.
func TestAnnotationsBounded(t *testing.T) {
	r := &Report{Scenario: "s"}
	for i := range 30 {
		v := Inconclusive
		if i >= 25 {
			v = Fail
		}
		r.Checks = append(r.Checks, Check{Name: fmt.Sprint(i), Verdict: v})
	}
	var b strings.Builder
	if err := r.WriteAnnotations(&b, "f"); err != nil {
		t.Fatal(err)
	}
	if n, e := strings.Count(b.String(), "\n"), strings.Count(b.String(), "::error "); n != 10 || e != 5 || !strings.HasPrefix(b.String(), "::error ") {
		t.Errorf("%d lines, %d errors", n, e)
	}
}

// A job summary is at most 1 MiB, says when something was left out, and nothing in it is read as markup.
func TestSummary(t *testing.T) {
	r := &Report{Scenario: "a|b<script>", Verdict: Fail, World: "kernel", Kernel: &Kernel{"rootless", "6.18", "nft"}}
	r.Checks = []Check{{Name: "c", Verdict: Fail, Reason: "x|y\n<b>", Differences: []string{"model `-j A`"}, Reproduce: "svclab compare f"}}
	var b strings.Builder
	if err := r.WriteSummary(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"## a\\|b&lt;script&gt;: ✗ FAIL", "| ✗ FAIL | c | 0 |  | x\\|y &lt;b&gt; |", "- model \\`-j A\\`", "```sh\nsvclab compare f\n```", "kernel 6.18 (rootless, iptables nft)"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	for range 5000 {
		r.Checks = append(r.Checks, Check{Name: "many", Verdict: Fail, Reason: strings.Repeat("long ", 100), Backends: []Backend{{Endpoint: "e", Expected: "1"}}})
	}
	b.Reset()
	if err := r.WriteSummary(&b); err != nil {
		t.Fatal(err)
	}
	if b.Len() > MaxSummaryBytes || b.Len() < MaxSummaryBytes/2 || !strings.HasSuffix(b.String(), "_The rest did not fit._\n") {
		t.Errorf("%d bytes, ending in %q", b.Len(), b.String()[b.Len()-40:])
	}
}
