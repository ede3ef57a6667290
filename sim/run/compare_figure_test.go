package run

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/svclab/svclab/sim/kernel"
	"github.com/svclab/svclab/sim/report"
)

// rate counts connections and the time in which they were opened.
type rate struct {
	connections int
	took        time.Duration
}

func (r *rate) see(l *kernel.Log) {
	r.connections += len(l.Outcomes)
	r.took += l.Elapsed
}

func (r *rate) String() string {
	return fmt.Sprintf("%d connections at %.0f a second", r.connections, float64(r.connections)/r.took.Seconds())
}

// TestKernelCompareEndpoints: 1 to 10 endpoints are equivalent within 10 % at 100,000 connections; 100 endpoints are not refuted,
// none is missing, and all are within 35 %.
func TestKernelCompareEndpoints(t *testing.T) {
	needFigures(t)
	for _, n := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 100} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			margin := "10%, at least 0.5 points"
			if n == 100 {
				margin = "35%"
			}
			c := layout{v6: n%4 > 1, services: []svc{{name: "many", endpoints: n}}}
			sc := c.story(t, fmt.Sprintf("{name: t, from: {pods: 20}, to: {service: default/many}, connections: 100000}\n"+
				"  checks:\n  - {name: c, shares: {traffic: t, expect: uniform, margin: \"%s\"}}", margin))
			var r rate
			begin := time.Now()
			rep := compare(t, sc, CompareOptions{Variant: variants[n%2], seen: r.see})
			for _, k := range rep.Checks {
				t.Logf("%s %s: %s", k.Verdict, k.Name, k.Reason)
				for _, b := range k.Backends {
					if b.Observed == 0 {
						t.Errorf("%s was never chosen", b.Endpoint)
					}
				}
			}
			t.Logf("%s; from start to verdict %s", &r, time.Since(begin))
			if rep.Verdict != report.Pass {
				t.Errorf("verdict %s", rep.Verdict)
			}
		})
	}
}

// TestKernelCompareSame compares the same scenario again and again: none may fail. SVCLAB_AA says how often.
func TestKernelCompareSame(t *testing.T) {
	needKernel(t)
	n, _ := strconv.Atoi(os.Getenv("SVCLAB_AA"))
	if n == 0 {
		n = 2
	}
	verdicts := map[string]int{}
	c := layout{services: []svc{{name: "three", endpoints: 3}, {name: "five", endpoints: 5}}}
	for i := range n {
		seed := uint64(i)
		r := compare(t, c.story(t,
			"{name: t, from: {pods: 10}, to: {service: default/three}, connections: 2500}",
			"{name: u, from: {external: 10}, to: {service: default/five, via: nodePort}, connections: 2500}",
		), CompareOptions{Variant: variants[i%2], Seed: &seed})
		verdicts[r.Verdict]++
		for _, k := range r.Checks {
			if k.Verdict == report.Fail {
				t.Errorf("run %d: %s: %s %q", i, k.Name, k.Reason, k.Differences)
			}
		}
	}
	t.Logf("%d runs: %v", n, verdicts)
}
