package report

import (
	"strings"
	"testing"
)

// Lengths of time and the way of a followed connection stand in text and in Markdown, with what could break a table escaped.
func TestTimesAndPaths(t *testing.T) {
	r := &Report{
		Scenario: "s", World: "netstack", Verdict: Pass,
		Traffic: []Traffic{{Name: "t", Connections: 1, Answered: 1, RequestTime: &Percentiles{N: 7, P50: "1ms", P90: "2ms", P99: "3ms", P999: "4ms", Max: "5ms"}}},
		Paths: []Path{{Traffic: "t", Name: "web", Client: "10.244.1.2", ResolvConf: []string{"nameserver 10.96.0.10"},
			Queries: []Query{{Name: "web.", Type: "A", Rcode: "NOERROR", Answers: []string{"10.96.0.1"}}, {Name: "web.", Type: "AAAA", Rcode: "NOERROR"}, {Name: "web.", Type: "A"}},
			Steps:   []PathStep{{At: "1ms", What: "10.244.1.2:1 connects to 10.96.0.1:80", Node: "node-1", Rules: []string{"PREROUTING: -A X|Y"}}}}},
	}
	var text, md strings.Builder
	if err := r.WriteText(&text, Style{}); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteMarkdown(&md); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"t, time of requests: p50 1ms, p90 2ms, p99 3ms, p99.9 4ms, max 5ms", "web. A: NOERROR 10.96.0.1", "web. AAAA: NODATA", "web. A: no answer", "connects to 10.96.0.1:80, by way of node-1", "PREROUTING: -A X|Y"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("text without %q:\n%s", want, text.String())
		}
	}
	for _, want := range []string{"| t | requests | 7 | 1ms | 2ms | 3ms | 4ms | 5ms |", "by way of node-1", `X\|Y`} {
		if !strings.Contains(md.String(), want) {
			t.Errorf("Markdown without %q:\n%s", want, md.String())
		}
	}
}
