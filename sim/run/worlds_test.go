package run

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/scenarios"
	"github.com/svclab/svclab/sim/measure"
	"github.com/svclab/svclab/sim/replay"
	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/scenario"
)

// met is what one connection came to, in a form that two worlds can be held side by side in.
type met struct {
	group int
	c     measure.Connection
	r     replay.Result
}

// cut keeps a scenario short: the same story with fewer connections.
func cut(sc *scenario.Scenario, most int) {
	n := len(sc.Spec.Traffic)
	for i := range sc.Spec.Traffic {
		t := &sc.Spec.Traffic[i]
		t.Connections = min(t.Connections, most/n)
		if t.Requests != nil { // each of them takes as long as a connection
			t.Connections = min(t.Connections, 40)
		}
	}
}

func meetings(t testing.TB, sc *scenario.Scenario, world string) ([]met, *report.Report) {
	t.Helper()
	var out []met
	r, err := Scenario(context.Background(), sc, scenarios.Files, ScenarioOptions{World: world, seen: func(g int, c measure.Connection, r replay.Result) {
		out = append(out, met{g, c, r})
	}})
	if err != nil {
		t.Fatalf("%s in %s: %v", sc.File, world, err)
	}
	slices.SortStableFunc(out, func(a, b met) int {
		if a.group != b.group {
			return a.group - b.group
		}
		return int(a.c.ID - b.c.ID)
	})
	return out, r
}

// apart lists the first differences between two worlds.
func apart(a, b []met) (n int, lines []string) {
	for i := range max(len(a), len(b)) {
		var x, y string
		if i < len(a) {
			x = fmt.Sprintf("traffic %d, %s, drew %v", a[i].group, a[i].c, a[i].c.Drew)
		}
		if i < len(b) {
			y = fmt.Sprintf("traffic %d, %s, drew %v", b[i].group, b[i].c, b[i].c.Drew)
		}
		if x != y {
			if n++; n <= 5 {
				lines = append(lines, "replay:   "+x+"\n    netstack: "+y)
			}
		}
	}
	return n, lines
}

// ofStacksAlone are stories whose connections depend on what only stacks do; each says what.
var ofStacksAlone = map[string]string{
	"invalid-reset": "a segment out of the window has the client open another connection",
}

// Every shipped scenario meets the same in the replay and the netstack world, connection by connection.
func TestWorldsAgree(t *testing.T) {
	for _, sc := range shippedScenarios(t) {
		t.Run(sc.Metadata.Name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			cut(sc, 250)
			a, want := meetings(t, sc, WorldReplay)
			mid := time.Now()
			b, got := meetings(t, sc, WorldNetstack)
			n, lines := apart(a, b)
			if why := ofStacksAlone[sc.Metadata.Name]; why != "" {
				if n == 0 {
					t.Errorf("it agrees, though %s", why)
				}
				n = 0
			}
			t.Logf("%d connections, replay %s, netstack %s", len(a), mid.Sub(began).Round(time.Millisecond), time.Since(mid).Round(time.Millisecond))
			for i, c := range want.Checks {
				timed := sc.Metadata.World == WorldNetstack // the check is about lengths of time, of which replay has none
				if g := got.Checks[i]; g.Verdict != c.Verdict && !timed {
					t.Errorf("check %s: %s in replay (%s), %s in netstack (%s)", c.Name, c.Verdict, c.Reason, g.Verdict, g.Reason)
				}
			}
			if n > 0 {
				t.Errorf("%d of %d connections differ:\n    %s", n, len(a), strings.Join(lines, "\n    "))
			}
		})
	}
}

// Every shipped scenario shows in the netstack world what it is there to show, at all of its connections.
func TestShippedInNetstack(t *testing.T) {
	if os.Getenv("SVCLAB_FIGURES") != "1" {
		t.Skip("not asked for: takes minutes; SVCLAB_FIGURES=1 runs it")
	}
	for _, sc := range shippedScenarios(t) {
		t.Run(sc.Metadata.Name, func(t *testing.T) {
			want := cmp.Or(sc.Metadata.Verdict, report.Pass)
			if r := runIn(t, sc, WorldNetstack); r.Verdict != want {
				t.Errorf("verdict %s, want %s: %+v", r.Verdict, want, r.Checks)
			}
		})
	}
}

// TestKernelWorldsAgree: replay, netstack and a kernel agree on every shipped scenario that all three can run. The kernel draws for
// itself, so that it is held against what the model says of each connection, and the numbers of each end against the worlds'
// where chance does not decide the end.
func TestKernelWorldsAgree(t *testing.T) {
	needKernel(t)
	ran := 0
	for _, sc := range shippedScenarios(t) {
		if manyEndpoints(sc) > 200 || slices.ContainsFunc(sc.Spec.Traffic, func(x scenario.Traffic) bool { return x.To.Name.Value != "" }) {
			continue // TestKernelCompareShipped has the former; a kernel world has no cluster DNS
		}
		t.Run(sc.Metadata.Name, func(t *testing.T) {
			for i := range sc.Spec.Traffic {
				sc.Spec.Traffic[i].Connections = min(sc.Spec.Traffic[i].Connections, 100)
			}
			k := compare(t, sc, CompareOptions{Patience: 2 * time.Second})
			agreed(t, k)
			ran++
			a, _ := meetings(t, sc, WorldReplay)
			b, _ := meetings(t, sc, WorldNetstack)
			if n, lines := apart(a, b); n > 0 && ofStacksAlone[sc.Metadata.Name] == "" {
				t.Errorf("%d of %d connections differ between replay and netstack:\n    %s", n, len(a), strings.Join(lines, "\n    "))
			}
			for i := range sc.Spec.Traffic {
				kinds := map[measure.Kind]int64{}
				for _, m := range a {
					if m.group == i {
						kinds[m.c.Outcome.Kind]++
					}
				}
				x := k.Traffic[i]
				for kind, n := range map[measure.Kind]int64{measure.KindBackend: x.Answered, measure.KindRefused: x.Rejected, measure.KindTimeout: x.Dropped} {
					if len(kinds) == 1 && len(sc.Spec.Events) == 0 && n > 0 != (kinds[kind] > 0) {
						t.Errorf("traffic %s: %d of the kernel's connections ended as %s, %d of the worlds'", x.Name, n, kind, kinds[kind])
					}
				}
			}
		})
	}
	if ran < 20 && !t.Failed() {
		t.Errorf("only %d scenarios were compared", ran)
	}
}
