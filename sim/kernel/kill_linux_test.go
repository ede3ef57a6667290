package kernel_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/sim/box"
	"github.com/svclab/svclab/sim/kernel"
)

var (
	kills    = flag.Int("kills", 20, "parents to kill for each vehicle and user")
	killSeed = flag.Uint64("kill-seed", 1, "seed of the moments at which parents are killed")
)

// startDecoy starts a decoy, or skips with the reason for which there can be none.
func startDecoy(t *testing.T, user box.UserNamespace) (*box.Box, context.Context) {
	t.Helper()
	needKernel(t)
	if os.Getenv(decoyVariable) != "" {
		t.Skip("inside a decoy there is no second one: the one outside does this")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	t.Cleanup(cancel)
	b, err := box.Start(ctx, box.Config{Role: decoyRole, User: user})
	if m, ok := box.Missing(err); ok {
		t.Skipf("%s: %s; to mend it: %s", m.What, m.Reason, m.Mend)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b, ctx
}

// TestKernelKill kills parents with SIGKILL at random moments, from before their box exists until traffic flows. One second
// later there must be no process, mount, link, rule, set, address or file of theirs.
func TestKernelKill(t *testing.T) {
	b, ctx := startDecoy(t, box.Auto)
	const nobody = 65534
	for _, c := range []struct {
		vehicle kernel.Vehicle
		uid     int
		latest  time.Duration // of the moments: a kernel of its own takes seconds to come up
	}{
		{kernel.VehicleNetns, 0, 400 * time.Millisecond}, {kernel.VehicleRootless, 0, 400 * time.Millisecond},
		{kernel.VehicleRootless, nobody, 400 * time.Millisecond},
		{kernel.VehicleUML, 0, 8 * time.Second}, {kernel.VehicleUML, nobody, 8 * time.Second},
	} {
		if c.vehicle == kernel.VehicleUML {
			if _, err := box.Tool("linux.uml"); err != nil {
				continue
			}
		}
		t.Run(fmt.Sprintf("%s/uid %d", c.vehicle, c.uid), func(t *testing.T) {
			if c.uid != 0 && b.User() == box.Own {
				t.Skip("only root can run a parent as another user: this run is unprivileged itself")
			}
			var a killAnswer
			q := killRequest{Vehicle: string(c.vehicle), UID: c.uid, Kills: *kills, Seed: *killSeed, Latest: c.latest}
			if err := b.Call(ctx, "kill", q, &a); err != nil {
				t.Fatal(err)
			}
			if len(a.Left) > 0 {
				t.Errorf("left behind (-kill-seed=%d):\n%s", *killSeed, strings.Join(a.Left, "\n"))
			}
			t.Logf("%d killed with seed %d, %d of them amid traffic; all gone after at most %s", *kills, *killSeed, a.Ready, a.Slowest.Round(time.Millisecond))
		})
	}
}

// TestKernelDecoy runs the other kernel tests beside sentinel rules, sets, links and addresses, and finds them as they were.
func TestKernelDecoy(t *testing.T) {
	b, ctx := startDecoy(t, box.Auto)
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	// Kernels of their own reach no further than their process, and take their time to boot: they are here on request.
	run := "^TestKernel(Agreement|Faults|Nginx|Missing|Probe|Ops|Refusals|Counters|Chunks|Throughput|Cancel|BackendsChange|Hairpin|Hold)$"
	if os.Getenv("SVCLAB_FIGURES") != "" {
		run = "^TestKernel"
	}
	var a suiteAnswer
	if err := b.Call(ctx, "suite", suiteRequest{Run: run, Dir: dir}, &a); err != nil {
		t.Fatal(err)
	}
	if a.Failed || !strings.Contains(a.Output, "--- PASS: TestKernelNginx") {
		t.Errorf("the suite in a decoy:\n%s", a.Output)
	}
	if len(a.Changed) > 0 {
		t.Errorf("the decoy changed:\n%s", strings.Join(a.Changed, "\n"))
	}
}
