package run

import (
	"bytes"
	"context"
	"io/fs"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/scenarios"
	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/scenario"
)

func shippedScenarios(t *testing.T) []*scenario.Scenario {
	t.Helper()
	names, err := fs.Glob(scenarios.Files, "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var out []*scenario.Scenario
	for _, n := range names {
		text, err := scenarios.Files.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "kind: Scenario") {
			continue
		}
		sc, err := scenario.Read(n, text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, sc)
	}
	if len(out) < 3 {
		t.Fatalf("only %d scenarios", len(out))
	}
	return out
}

func runJSON(t *testing.T, sc *scenario.Scenario) (*report.Report, string) {
	t.Helper()
	r, err := Scenario(context.Background(), sc, scenarios.Files, ScenarioOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := report.WriteJSON(&b, r, false); err != nil {
		t.Fatal(err)
	}
	return r, b.String()
}

// Every shipped scenario shows what it is there to show.
func TestShippedScenarios(t *testing.T) {
	for _, sc := range shippedScenarios(t) {
		t.Run(sc.Metadata.Name, func(t *testing.T) {
			want := sc.Metadata.Verdict
			if want == "" {
				want = report.Pass
			}
			if r, text := runJSON(t, sc); r.Verdict != want {
				t.Errorf("verdict %s, want %s\n%s", r.Verdict, want, text)
			}
		})
	}
}

// One seed, one text, whatever the number of processors, the time zone and the locale; run under -race too.
func TestSameSeedSameBytes(t *testing.T) {
	zone := time.Local
	defer func() { time.Local = zone }()
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	for _, sc := range shippedScenarios(t) {
		for i := range sc.Spec.Traffic {
			sc.Spec.Traffic[i].Connections = min(sc.Spec.Traffic[i].Connections, 1000)
		}
		var first string
		for _, n := range []int{1, 2, 8} {
			runtime.GOMAXPROCS(n)
			time.Local = time.FixedZone("elsewhere", n*3600)
			t.Setenv("LC_ALL", []string{"C", "de_DE.UTF-8", "tr_TR.UTF-8"}[n%3])
			_, text := runJSON(t, sc)
			if first == "" {
				first = text
			}
			if text != first {
				t.Errorf("%s: GOMAXPROCS=%d prints another report", sc.Metadata.Name, n)
			}
		}
	}
}
