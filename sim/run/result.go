package run

import (
	"fmt"
	"path"
	"regexp"

	"github.com/svclab/svclab/sim/check"
	"github.com/svclab/svclab/sim/measure"
	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/scenario"
)

// report is what the run came to: every check judged, and what was seen.
func (e *engine) report() (*report.Report, error) {
	r := &report.Report{
		SchemaVersion: report.SchemaVersion, Kind: "Report", Scenario: e.scenario.Metadata.Name, Seed: e.seed, World: e.world.name(),
		Checks: []report.Check{}, Traffic: []report.Traffic{}, Warnings: e.subject.Warnings,
	}
	metrics := e.metrics()
	plan := check.NewPlan(e.chancy())
	if plan.Rerun = e.options.Rerun; plan.Rerun > 0 {
		r.RiskSum = report.Num(plan.RiskSum())
	}
	r.Risk = report.Number(plan.Risk())
	var results []check.Result
	for i := range e.scenario.Spec.Checks {
		c := &e.scenario.Spec.Checks[i]
		res, err := e.judge(c, plan, metrics)
		if err != nil {
			return nil, err
		}
		results = append(results, res)
		out := convert(res)
		out.Line = c.At.Line
		out.Reproduce = fmt.Sprintf("svclab run %s --seed %d", path.Base(e.scenario.File), e.seed)
		if w := e.world.name(); w != WorldReplay && w != e.scenario.Metadata.World || w == WorldReplay && e.scenario.Metadata.World == WorldNetstack {
			out.Reproduce += " --world " + w
		}
		if part := shownBy(c, res.Reason); part != "" && len(e.groups) > 0 && res.Verdict == check.Fail {
			out.Reproduce += " --only " + part
		}
		r.Checks = append(r.Checks, out)
	}
	r.Verdict = check.Overall(results).String()
	for _, w := range e.watch {
		t := w.totals()
		if e.world.takesTime() {
			t.ConnectTime, t.RequestTime, t.LookupTime = percentiles(w.opening), percentiles(w.latency), percentiles(w.lookups.time)
		}
		r.Traffic = append(r.Traffic, t)
	}
	for _, p := range e.follow.paths {
		r.Paths = append(r.Paths, *p)
	}
	r.Timeline = e.moments
	return r, nil
}

// firstFlow finds the connection that a reason names.
var firstFlow = regexp.MustCompile(`connection (\d+), `)

// shownBy is the part of the traffic that shows a failed check again, as --only takes it: the connection that its reason names
// first, where each stands for itself, or else its traffic.
func shownBy(c *scenario.Check, reason string) string {
	switch {
	case c.Reachable != nil && c.Reachable.Traffic.Value != "":
		if m := firstFlow.FindStringSubmatch(reason); m != nil {
			return c.Reachable.Traffic.Value + ":" + m[1]
		}
		return c.Reachable.Traffic.Value
	case c.Shares != nil:
		return c.Shares.Traffic.Value
	case c.Affinity != nil:
		return c.Affinity.Traffic.Value
	}
	return ""
}

// chancy is the number of checks with chance in them, fixed before the run.
func (e *engine) chancy() int {
	n := 0
	for i := range e.scenario.Spec.Checks {
		if e.scenario.Spec.Checks[i].Shares != nil {
			n++
		}
	}
	return n
}

// percentiles are how long something took; nil without samples.
func percentiles(l *measure.Latency) *report.Percentiles {
	if l.N() == 0 {
		return nil
	}
	at := func(p float64) string { return l.Percentile(p).String() }
	return &report.Percentiles{N: l.N(), P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: l.Max().String()}
}
