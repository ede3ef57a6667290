package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/scenarios"
	"github.com/svclab/svclab/sim/box"
	"github.com/svclab/svclab/sim/kernel"
	"github.com/svclab/svclab/sim/report"
)

// swap replaces text in what the kernel is loaded with, in the chain of one Service, and counts how often.
func swap(chain, old, new string, planted *int) func(datapath.Op) datapath.Op {
	return func(op datapath.Op) datapath.Op {
		r, ok := op.(datapath.IPTablesRestore)
		if !ok {
			return op
		}
		var out []string
		for _, l := range strings.Split(r.Text, "\n") {
			if strings.Contains(l, chain) && strings.Contains(l, old) {
				*planted++
				l = strings.Replace(l, old, new, 1)
			}
			out = append(out, l)
		}
		r.Text = strings.Join(out, "\n")
		return r
	}
}

// swapped exchanges the first two statistic rules of a Service.
func swapped(name string, planted *int) func(datapath.Op) datapath.Op {
	return func(op datapath.Op) datapath.Op {
		r, ok := op.(datapath.IPTablesRestore)
		if !ok {
			return op
		}
		lines := strings.Split(r.Text, "\n")
		first := -1
		for i, l := range lines {
			if !strings.Contains(l, name+" ") || !strings.Contains(l, "--probability") {
				continue
			}
			if first < 0 {
				first = i
				continue
			}
			lines[first], lines[i] = lines[i], lines[first]
			*planted++
			break
		}
		r.Text = strings.Join(lines, "\n")
		return r
	}
}

// TestKernelCompareFaults plants one fault in the kernel's rules. Traffic alone, with rules and counters not looked at, finds it;
// so does the comparison of rules by itself. Both name the Service, and the others pass.
func TestKernelCompareFaults(t *testing.T) {
	needKernel(t)
	two := layout{services: []svc{{name: "faulty", endpoints: 2}, {name: "sound", endpoints: 3}}}
	three := layout{services: []svc{{name: "faulty", endpoints: 3}, {name: "sound", endpoints: 3}}}
	sticky := layout{services: []svc{
		{name: "faulty", endpoints: 3, extra: "      sessionAffinity: ClientIP\n      sessionAffinityConfig: {clientIP: {timeoutSeconds: 10}}"}, {name: "sound", endpoints: 3},
	}}
	flows := func(n int) []string {
		return []string{
			fmt.Sprintf("{name: t, from: {otherPods: 10}, to: {service: default/faulty}, connections: %d}", n),
			"{name: outside, from: {external: 5}, to: {service: default/faulty, via: nodePort}, connections: 50}",
			"{name: sound, from: {pods: 10}, to: {service: default/sound}, connections: 200}",
		}
	}
	back := func(after string) []string {
		return []string{
			"{name: first, from: {otherPods: 60}, to: {service: default/faulty}, connections: 60, rate: 200/s}",
			"{name: again, from: {otherPods: 60}, to: {service: default/faulty}, connections: 60, rate: 200/s, start: " + after + "}",
			"{name: sound, from: {pods: 10}, to: {service: default/sound}, connections: 100}",
		}
	}
	var planted int
	for _, c := range []struct {
		name    string
		cluster layout
		traffic []string
		plant   func(datapath.Op) datapath.Op
	}{
		// The power table of six checks with chance says 29,177 for two endpoints, 5 % and a chance of 99 %; a third more, so that the
		// test itself does not fail once in a hundred runs.
		{"a probability off by 5 %", two, flows(38000), swap("default/faulty ", "--probability 0.5000000000", "--probability 0.5250000000", &planted)},
		{"an endpoint missing", three, flows(500), swap("default/faulty ", "-m statistic --mode random --probability 0.5000000000", "-m statistic --mode random --probability 0.0000000000", &planted)},
		{"two rules swapped", three, flows(1000), swapped("default/faulty", &planted)},
		{"masquerade missing", three, flows(100), swap("masquerade traffic for default/faulty external", "-j KUBE-MARK-MASQ", "-j RETURN", &planted)},
		{"an affinity timeout longer by 10 %", sticky, back("10500ms"), swap("default/faulty ", "--seconds 10", "--seconds 11", &planted)},
		{"an affinity timeout shorter by 10 %", sticky, back("9500ms"), swap("default/faulty ", "--seconds 10", "--seconds 9", &planted)},
	} {
		t.Run(c.name, func(t *testing.T) {
			planted = 0
			r := compare(t, c.cluster.story(t, c.traffic...), CompareOptions{plant: c.plant, blind: true})
			if planted == 0 {
				t.Fatal("nothing was planted")
			}
			if k := checkNamed(t, r, r.Checks[0].Name); k.Power != nil {
				t.Logf("to notice 5 %%: %d connections", k.Power.Rows[2].Connections)
			}
			named(t, "by traffic", r)
			sc := c.cluster.story(t, "{name: sound, from: {pods: 1}, to: {service: default/sound}, connections: 1}")
			r = compare(t, sc, CompareOptions{plant: c.plant})
			rules := checkNamed(t, r, "rules ipv4")
			if rules.Verdict != report.Fail || !strings.Contains(rules.Reason, "Service default/faulty:") || len(rules.Differences) == 0 {
				t.Errorf("by the rules: %s: %s", rules.Verdict, rules.Reason)
			}
		})
	}
}

// named expects FAIL of the faulty Service, and of it alone.
func named(t *testing.T, how string, r *report.Report) {
	t.Helper()
	want := map[string]bool{"default/faulty": true, "default/sound": false}
	for _, s := range r.Services {
		if (s.Verdict == report.Fail) != want[s.Service] {
			t.Errorf("%s: %+v: %+v", how, s, r.Checks)
		}
	}
	if r.Verdict != report.Fail || len(r.Services) != 2 {
		t.Errorf("%s: verdict %s", how, r.Verdict)
	}
	for _, c := range r.Checks {
		if c.Verdict == report.Fail {
			t.Logf("%s: %s: %s; again: %s", how, c.Name, c.Reason, c.Reproduce)
			if !strings.HasPrefix(c.Reproduce, "svclab compare story.yaml --seed 1 --kernel rootless --only ") {
				t.Errorf("no command shows it again: %q", c.Reproduce)
			}
		}
	}
}

// TestKernelCompareTime: 20,000 connections to three endpoints, from start to verdict.
func TestKernelCompareTime(t *testing.T) {
	needKernel(t)
	c := layout{services: []svc{{name: "three", endpoints: 3}}}
	for _, v := range variants {
		begin := time.Now()
		var speed rate
		sc := c.story(t, "{name: t, from: {pods: 10}, to: {service: default/three}, connections: 20000}")
		r := compare(t, sc, CompareOptions{Variant: v, seen: speed.see})
		agreed(t, r)
		if k := checkNamed(t, r, "t shares"); k.Verdict != report.Pass {
			t.Errorf("%s: %s", k.Verdict, k.Reason)
		}
		took := time.Since(begin)
		t.Logf("%s: %s; from start to verdict %s", v, &speed, took)
		if took > time.Minute {
			t.Errorf("%s: took %s", v, took)
		}
	}
}

// TestKernelCompareEvent: an endpoint goes unready in the middle; both learn of it by the same operations.
func TestKernelCompareEvent(t *testing.T) {
	needKernel(t)
	c := layout{services: []svc{{name: "three", endpoints: 3}}}
	sc := c.story(t, "{name: t, from: {pods: 10}, to: {service: default/three}, connections: 1000}\n  events:\n  - {at: 500ms, endpoint: {address: 10.244.36.100, ready: false}}")
	r := compare(t, sc, CompareOptions{})
	agreed(t, r)
	k := checkNamed(t, r, "t shares")
	if len(k.Backends) != 3 || k.Backends[0].Observed >= k.Backends[1].Observed || k.N != 1000 {
		t.Errorf("shares over both stretches: %+v", k)
	}
}

// TestKernelCompareInterrupted: a run that is interrupted ends within 2 s with a report of what it saw, which is valid and no PASS.
func TestKernelCompareInterrupted(t *testing.T) {
	needKernel(t)
	c := layout{services: []svc{{name: "three", endpoints: 3}}}
	sc := c.story(t, "{name: t, from: {pods: 10}, to: {service: default/three}, connections: 400000}")
	for _, after := range []time.Duration{0, 100 * time.Millisecond, 2 * time.Second} {
		ctx, cancel := context.WithCancel(context.Background())
		var begin time.Time
		time.AfterFunc(after, func() { begin = time.Now(); cancel() })
		r, err := Compare(ctx, sc, scenarios.Files, CompareOptions{Vehicle: kernel.VehicleRootless})
		var missing *box.MissingError
		if errors.As(err, &missing) && ctx.Err() == nil {
			t.Skipf("%s: %s; to mend it: %s", missing.What, missing.Reason, missing.Mend)
		}
		took := time.Since(begin)
		if !errors.Is(err, context.Canceled) || r == nil {
			t.Fatalf("after %s: report %v, error %v", after, r != nil, err)
		}
		if took > 2*time.Second {
			t.Errorf("after %s: took %s to end", after, took)
		}
		if _, err := json.Marshal(r); err != nil || r.Verdict == report.Pass || r.Verdict == report.Fail {
			t.Errorf("after %s: %v, verdict %s", after, err, r.Verdict)
		}
		t.Logf("after %s: ended in %s with %+v, %s", after, took, r.Traffic, r.Verdict)
	}
}
