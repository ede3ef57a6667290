package run

import (
	"context"
	"fmt"
	"math/big"
	"path"
	"slices"
	"strings"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/sim/box"
	"github.com/svclab/svclab/sim/check"
	"github.com/svclab/svclab/sim/kernel"
	"github.com/svclab/svclab/sim/measure"
	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/scenario"
)

// kernelWords is what a kernel did with a connection, in words.
func kernelWords(o *kernel.Outcome) string {
	if o.Failure != box.None {
		return string(o.Failure)
	}
	return fmt.Sprintf("%s, which saw %s", o.Backend, o.Peer.Addr())
}

// chancePerTraffic is the number of checks with chance in them that each traffic has: its shares, and its clients' memory.
const chancePerTraffic = 2

// verdicts judges what was seen.
func (c *comparison) verdicts(ctx context.Context) *report.Report {
	v := c.kernel.Version()
	plan := check.NewPlan(chancePerTraffic * len(c.watchers))
	plan.Rerun = c.opt.Rerun
	r := &report.Report{
		SchemaVersion: report.SchemaVersion, Kind: "Report", Scenario: c.scenario.Metadata.Name, Seed: c.seed, World: "kernel",
		Kernel: &report.Kernel{Vehicle: string(c.kernel.Vehicle()), Release: v.Release, Variant: string(v.Variant)},
		Risk:   report.Number(plan.Risk()), Checks: []report.Check{}, Traffic: []report.Traffic{}, Warnings: c.subject.Warnings,
	}
	if plan.Rerun > 0 {
		r.RiskSum = report.Num(plan.RiskSum())
	}
	var results []check.Result
	add := func(res check.Result, w *witness, only Only, differences []string) {
		results = append(results, res)
		k := convert(res)
		k.Differences = differences
		if w != nil {
			k.Service, k.Line = w.service, c.line(w)
		}
		k.Reproduce = reproduce(c.scenario, "compare", c.seed, c.opt, only)
		r.Checks = append(r.Checks, k)
	}
	for _, w := range c.watchers {
		if c.options.Only.count(w.group) == 0 {
			continue
		}
		whole := Only{Traffic: w.group.Name, Last: -1}
		if w.drawsAtAll() {
			k := check.SharesCheck{Name: w.group.Name + " shares", Plan: plan, Margin: c.margin(w)}
			add(c.shares(k, w, w.draws.Tallies), w, whole, nil)
			c.power(&r.Checks[len(r.Checks)-1], k, w)
			if w.again.N() > 0 {
				k.Name, k.Margin = w.group.Name+" memory", memoryMargin(k.Margin)
				add(c.shares(k, w, w.again.Tallies), w, whole, nil)
			}
		}
		res, only, list := c.connections(w)
		add(res, w, only, list)
		r.Traffic = append(r.Traffic, w.totals)
		if w.left > 0 {
			r.Warnings = append(r.Warnings, fmt.Sprintf("traffic %s: %d of its connections were left out, to bound source ports and waiting", w.group.Name, w.left))
		}
	}
	if !c.opt.blind {
		whole := func(res check.Result, list []string) { add(res, nil, Only{}, list) }
		c.rules(ctx, whole)
		c.ipvs(ctx, whole)
	}
	r.Verdict = check.Overall(results).String()
	r.Known, r.Timeline = c.known(), c.moments
	r.Services = servicesOf(r)
	if ctx.Err() != nil {
		r.Warnings = append(r.Warnings, fmt.Sprintf("stopped after %d of %d connections", c.opened, c.total))
	}
	return r
}

func (w *witness) drawsAtAll() bool {
	return slices.ContainsFunc(w.draws.Tallies, func(t *measure.Tally) bool { return t.Epoch.Possible() > 1 })
}

func (c *comparison) line(w *witness) int {
	for i := range c.scenario.Spec.Traffic {
		if t := &c.scenario.Spec.Traffic[i]; t.Name == w.group.Name {
			return t.At.Line
		}
	}
	return 0
}

// margin is that of the scenario's first shares check of the traffic, or the default.
func (c *comparison) margin(w *witness) check.Margin {
	for _, k := range c.scenario.Spec.Checks {
		if k.Shares != nil && k.Shares.Traffic.Value == w.group.Name && k.Shares.Margin.Given {
			return k.Shares.Margin.Margin
		}
	}
	return check.DefaultMargin()
}

// memoryMargin is that of the shares, but a point at least: among many endpoints the same one seldom comes twice, and a client that
// is remembered comes back far more often than that.
func memoryMargin(m check.Margin) check.Margin {
	m.Floor = big.NewRat(1, 100)
	return m
}

func (c *comparison) shares(k check.SharesCheck, w *witness, tallies []*measure.Tally) check.Result {
	if w.unsent > 0 {
		k.Doubt = fmt.Sprintf("%d connections could not be sent", w.unsent)
	}
	r, err := k.Check(tallies)
	if err != nil {
		panic("run: a plan of our own is not valid: " + err.Error())
	}
	return r
}

// power says beside a shares check what it could have seen.
func (c *comparison) power(out *report.Check, k check.SharesCheck, w *witness) {
	if len(w.draws.Tallies) > 0 {
		out.Power = powerOf(check.Power(k.Plan, k.Margin, w.draws.Tallies[0].Epoch))
	}
}

// connections holds every connection against what the model, forced to the kernel's picks, says of it.
func (c *comparison) connections(w *witness) (check.Result, Only, []string) {
	r := check.Equal(w.group.Name+" connections", w.want, w.got)
	only := Only{Traffic: w.group.Name, Last: -1}
	var list []string
	for i, m := range w.wrong {
		_, id := flowOf(m.Outcome.ID)
		if i == 0 {
			only.First, only.Last = id, id
			if c.serial {
				only.First = 0
			}
		}
		list = append(list, fmt.Sprintf("connection %d, %s %s to %s: model %q, kernel %q", id, m.Outcome.Proto, m.Outcome.Src.Addr(), m.Outcome.Dst, m.Why, kernelWords(&m.Outcome)))
	}
	if r.Verdict == check.Pass {
		r.Reason = fmt.Sprintf("all %d connections ended as the model says: endpoint, source seen, refusal or silence", r.N)
	} else if len(list) > 0 {
		r.Reason = fmt.Sprintf("%d of %d connections differ; first %s", r.Equal.Differences, r.N, list[0])
	}
	if c.aged && r.Verdict == check.Fail {
		r = r.WithDoubt(tooOld)
	}
	return r, only, list
}

// tooOld is why a difference may be nobody's fault.
const tooOld = "time passed for the model's entries of IPVS and not for the kernel's: the scenario lasts longer than --patience"

// rules compares the rules that the kernel gives back, and then their packet counters.
func (c *comparison) rules(ctx context.Context, add func(check.Result, []string)) {
	places := placesOf(c.subject)
	for _, f := range families {
		if ctx.Err() != nil {
			add(check.Missing("rules "+f.String(), "interrupted before the kernel was asked for its rules"), nil)
			continue
		}
		model := tables(c.subject.Node.Linked(f).Print(true))
		dump, err := c.kernel.Dump(ctx, f)
		if err != nil {
			add(check.Missing("rules "+f.String(), err.Error()), nil)
			continue
		}
		if c.opt.dumped != nil {
			c.opt.dumped(c, f, dump)
		}
		dump = tables(dump)
		add(difference("rules "+f.String(), model, dump, kernel.DifferenceOptions{}, places))
		res, list := difference("counters "+f.String(), model, dump, kernel.DifferenceOptions{Packets: true, Policies: c.variant == datapath.Legacy}, places)
		if c.inexact != "" {
			res = res.WithDoubt(c.inexact)
		}
		add(res, list)
	}
}

// tables is a dump that can be read: no table at all is as good as an empty one.
func tables(dump string) string {
	if strings.HasPrefix(dump, "*") || strings.Contains(dump, "\n*") {
		return dump
	}
	return dump + "*filter\nCOMMIT\n"
}

func difference(name, model, dump string, o kernel.DifferenceOptions, p places) (check.Result, []string) {
	r := check.Result{Name: name, N: int64(strings.Count(model, "\n-A ") + strings.Count(model, "] -A "))}
	diff, err := kernel.Differences(model, dump, o)
	if err != nil {
		return check.Missing(name, err.Error()), nil
	}
	if len(diff) > 0 {
		return differs(r, diff, p)
	}
	r.Verdict, r.Reason = check.Pass, fmt.Sprintf("all %d rules and the policies are equal", r.N)
	if o.Packets {
		r.Reason = fmt.Sprintf("all %d rules counted the same packets in model and kernel", r.N)
	}
	return r, nil
}

// differs is a result that has differences, with the Services they are about.
func differs(r check.Result, diff []kernel.Difference, p places) (check.Result, []string) {
	var list, named []string
	for _, d := range diff {
		s := p.service(d)
		if s != "" && !slices.Contains(named, s) {
			named = append(named, s)
		}
		if s != "" {
			s = " (" + s + ")"
		}
		if len(list) < maxShown {
			list = append(list, d.String()+s)
		}
	}
	r.Verdict = check.Fail
	r.Reason = fmt.Sprintf("%d places differ; first %s", len(diff), list[0])
	if len(named) > 0 {
		r.Reason = fmt.Sprintf("Service %s: %s", strings.Join(named, ", "), r.Reason)
	}
	return r, list
}

// reproduce is the command that shows a part of a comparison again.
func reproduce(sc *scenario.Scenario, verb string, seed uint64, o CompareOptions, only Only) string {
	s := fmt.Sprintf("svclab %s %s --seed %d", verb, path.Base(sc.File), seed)
	if o.Variant != "" && o.Variant != datapath.Legacy {
		s += " --variant " + string(o.Variant)
	}
	if o.Vehicle != "" && o.Vehicle != kernel.VehicleAuto {
		s += " --kernel " + string(o.Vehicle)
	}
	if only.Traffic != "" {
		s += " --only " + only.String()
	}
	return s
}

// servicesOf gives each Service the gravest verdict of what was said of it.
func servicesOf(r *report.Report) []report.Service {
	var out []report.Service
	index := map[string]int{}
	note := func(name, verdict string) {
		i, ok := index[name]
		if !ok {
			i = len(out)
			index[name] = i
			out = append(out, report.Service{Service: name, Verdict: verdict})
		}
		if grave[verdict] > grave[out[i].Verdict] {
			out[i].Verdict = verdict
		}
	}
	for _, k := range r.Checks {
		if k.Service != "" {
			note(k.Service, k.Verdict)
		}
	}
	for _, k := range r.Checks {
		if k.Service != "" || k.Verdict != report.Fail {
			continue
		}
		for i := range out {
			if strings.Contains(k.Reason, out[i].Service) {
				note(out[i].Service, k.Verdict)
			}
		}
	}
	return out
}

// grave orders verdicts as check.Overall does.
var grave = map[string]int{report.Pass: 0, report.Inconclusive: 1, report.NotCompared: 2, report.Fail: 3}
