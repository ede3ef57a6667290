package run

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/svclab/svclab/scenarios"
	"github.com/svclab/svclab/sim/box"
	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/scenario"
)

func TestParseOnly(t *testing.T) {
	for text, want := range map[string]Only{
		"t": {"t", 0, -1}, "t:5": {"t", 5, 5}, "t:0-9": {"t", 0, 9},
	} {
		got, err := ParseOnly(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: %+v, %v, printed %s", text, got, err, got)
		}
	}
	for _, bad := range []string{"t:", "t:x", "t:-1", "t:5-3", "t:1-2-3", "t:99999999999999999999"} {
		if o, err := ParseOnly(bad); err == nil {
			t.Errorf("%s: %+v", bad, o)
		}
	}
}

// One connection run alone ends where it ended among all: its draws are its own.
func TestOnlySameFlow(t *testing.T) {
	text, err := scenarios.Files.ReadFile("nginx.yaml")
	if err != nil {
		t.Fatal(err)
	}
	sc, err := scenario.Read("nginx.yaml", []byte(strings.ReplaceAll(string(text), "100000", "50")))
	if err != nil {
		t.Fatal(err)
	}
	count := func(o Only) map[string]int64 {
		r, err := Scenario(context.Background(), sc, scenarios.Files, ScenarioOptions{Only: o})
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]int64{}
		for _, b := range r.Checks[0].Backends {
			out[b.Endpoint] = b.Observed
		}
		return out
	}
	all, sum := count(Only{}), map[string]int64{}
	for i := range int64(50) {
		for k, n := range count(Only{"cluster-ip", i, i}) {
			sum[k] += n
		}
	}
	for k, n := range all {
		if sum[k] != n {
			t.Errorf("%s: %d among all, %d one by one", k, n, sum[k])
		}
	}
	var unknown *UnknownError
	if _, err := Scenario(context.Background(), sc, scenarios.Files, ScenarioOptions{Only: Only{"cluster-up", 0, -1}}); !errors.As(err, &unknown) || !slices.Contains(unknown.Nearest, "cluster-ip") {
		t.Errorf("a traffic that is not there: %v", err)
	}
}

// Where no kernel could run, nothing passes: the typed reason stands in the report and is the error.
func TestNotCompared(t *testing.T) {
	sc, err := scenario.Read("story.yaml", []byte(`apiVersion: svclab/v1alpha1
kind: Scenario
metadata: {name: story}
spec:
  cluster: {nodes: 2, services: [{name: three, endpoints: 3}]}
  traffic:
  - {name: t, from: {pods: 10}, to: {service: default/three}, connections: 10}
`))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Compare(context.Background(), sc, scenarios.Files, CompareOptions{})
	m, missing := box.Missing(err)
	if !missing || r == nil {
		t.Fatalf("%v, report %v", err, r)
	}
	if r.Verdict != report.NotCompared || r.Kernel != nil || len(r.Checks) != 1 || r.Checks[0].Verdict != report.NotCompared || !strings.Contains(r.Checks[0].Reason, string(m.Reason)) {
		t.Errorf("%+v", r)
	}
	if r.Checks[0].Service != "default/three" || r.Checks[0].Reproduce != "svclab compare story.yaml --seed 1 --only t" {
		t.Errorf("%+v", r.Checks[0])
	}
}

// Each known difference says what is not compared and why, once.
func TestKnownDifferences(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range knownDifferences {
		if k.id == "" || seen[k.id] || k.what == "" || len(k.reason) < 20 || k.met == nil {
			t.Errorf("%+v", k)
		}
		seen[k.id] = true
	}
}
