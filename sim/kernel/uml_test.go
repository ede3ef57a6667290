package kernel_test

import (
	"os"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/kernel"
)

// TestKernelUMLThroughput: connections through IPVS in a kernel of its own; the figure of an idle machine is 1,500 a second and 30 s
// from start to the last of 20,000.
func TestKernelUMLThroughput(t *testing.T) {
	begin := time.Now()
	d := newDirector(t)
	t.Logf("up after %s", time.Since(begin))
	at, ops := virtualService(packet.IPv4, packet.TCP, 0, ipvs.ServiceConfig{Scheduler: "rr"}, []int{1, 1, 1})
	d.apply(ops...)
	n := 1000
	if os.Getenv("SVCLAB_FIGURES") != "" {
		n = 20000
	}
	log, err := d.k.Run(d.ctx, d.flows(packet.IPv4, packet.TCP, at, n, 100), kernel.RunOptions{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, o := range log.Outcomes {
		if o.Failure != "" {
			failed++
		}
	}
	if failed > 0 || len(log.Outcomes) != n {
		t.Errorf("%d of %d connections answered, %d failed", len(log.Outcomes)-failed, n, failed)
	}
	t.Logf("%d connections in %s: %.0f a second; %s from start to end", n, log.Elapsed, float64(n)/log.Elapsed.Seconds(), time.Since(begin))
}
