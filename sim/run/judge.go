package run

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/check"
	"github.com/svclab/svclab/sim/measure"
	"github.com/svclab/svclab/sim/replay"
	"github.com/svclab/svclab/sim/scenario"
	"github.com/svclab/svclab/sim/spelling"
)

// checkChecks finds checks that ask for what a run does not have, before it runs.
func (e *engine) checkChecks() error {
	all := e.metrics()
	for i := range e.scenario.Spec.Checks {
		c := &e.scenario.Spec.Checks[i]
		if a := c.Affinity; a != nil {
			e.observerOf(a.Traffic.Value).timeout = a.Timeout.Duration
		}
		if k := c.Counter; k != nil && k.Node != "" && e.siteNamed(k.Node) == nil {
			return e.scenario.Errorf(k.At, "no modelled node is called %q; there is %s", k.Node, e.nodeNames())
		}
		t := c.Threshold
		if t == nil {
			continue
		}
		m := all.of(t)
		if m.Get(t.Metric.Value) == nil {
			hint := ""
			if near := spelling.Nearest(t.Metric.Value, m.Names()); len(near) > 0 {
				hint = "; did you mean " + strings.Join(near, ", ") + "?"
			} else {
				hint = "; there are " + strings.Join(m.Names(), ", ")
			}
			return e.scenario.Errorf(t.Metric.At, "there is no metric %q%s", t.Metric.Value, hint)
		}
		th, err := check.ParseThreshold(t.Metric.Value, t.Expect.Value)
		if err == nil {
			_, err = th.Check(c.Name, m)
		}
		if err == nil { // without samples the check leaves open whether there is such a statistic
			var none *measure.StatError
			if _, e := m.Get(t.Metric.Value).Stat(th.Stat); errors.As(e, &none) && strings.HasPrefix(none.Reason, "is no statistic") {
				err = e
			}
		}
		if err != nil {
			return e.scenario.Errorf(t.Expect.At, "%v", err)
		}
	}
	return nil
}

// judge answers one check.
func (e *engine) judge(c *scenario.Check, plan check.Plan, m metrics) (check.Result, error) {
	switch {
	case c.Reachable != nil:
		return e.observerOf(c.Reachable.Traffic.Value).reachable(c.Name, c.Reachable), nil
	case c.Affinity != nil:
		return e.observerOf(c.Affinity.Traffic.Value).sticks(c.Name, c.Affinity), nil
	case c.Threshold != nil:
		th, err := check.ParseThreshold(c.Threshold.Metric.Value, c.Threshold.Expect.Value)
		if err != nil {
			return check.Result{}, e.scenario.Errorf(c.Threshold.Expect.At, "%v", err)
		}
		return th.Check(c.Name, m.of(c.Threshold))
	case c.Counter != nil:
		return e.counted(c)
	}
	w := e.observerOf(c.Shares.Traffic.Value)
	if c.Shares.Per == "node" {
		return e.perNode(c, w)
	}
	k := check.SharesCheck{Name: c.Name, Plan: plan, Margin: marginOf(c)}
	x, err := e.expected(c)
	if err != nil {
		return check.Result{}, err
	}
	var draws int64
	for _, t := range w.tallies {
		draws += t.N()
	}
	if draws == 0 && w.settledCount() > 0 && e.sites[0].Mode == service.ModeIPVS {
		return e.scheduled(c, w)
	}
	if len(e.sites) == 1 { // the exact half is of each stretch; over several nodes it is of all of them together
		k.Expect = x
	}
	r, err := k.Check(w.tallies)
	if err != nil {
		return r, err
	}
	if x != nil && len(e.sites) > 1 && len(w.whole) > 0 {
		exact := x.Exact(w.whole)
		r.Shares.Exact = &exact
		r.Reason = exact.Reason + "; " + r.Reason
		if !exact.Holds {
			r.Verdict = check.Fail
		}
	}
	if n := w.settledCount(); n > 0 {
		r.Reason += fmt.Sprintf("; %d more connections were placed by state and drew nothing", n)
	}
	if c.Shares.Of == "requests" {
		r = w.ofRequests(r, marginOf(c), draws)
	}
	return r, nil
}

func marginOf(c *scenario.Check) check.Margin {
	if c.Shares.Margin.Given {
		return c.Shares.Margin.Margin
	}
	return check.DefaultMargin()
}

// expected is what a shares check holds shares against; nil for what the rules say.
func (e *engine) expected(c *scenario.Check) (*check.Expectation, error) {
	switch c.Shares.Expect.Kind {
	case "uniform":
		u := check.Uniform()
		return &u, nil
	case "each":
		var list []check.Weight
		for _, x := range c.Shares.Expect.Each {
			o := measure.Backend(x.Endpoint.AddrPort)
			if x.Node != "" {
				o = measure.OnNode(x.Node)
			}
			list = append(list, check.Weight{Outcome: o, Weight: x.Share.Rat})
		}
		x, err := check.Explicit(list)
		if err != nil {
			return nil, e.scenario.Errorf(c.Shares.At, "%v", err)
		}
		return &x, nil
	}
	return nil, nil
}

func (w *observer) settledCount() (n int64) {
	for _, c := range w.settled {
		n += c
	}
	return n
}

// ofRequests turns a verdict about draws into one about requests. What was random is where connections went; requests follow
// them, so that uneven requests refute nothing while the draws do not.
func (w *observer) ofRequests(r check.Result, m check.Margin, draws int64) check.Result {
	var total int64
	for _, n := range w.asking {
		total += n
	}
	if total == 0 || r.Shares == nil {
		r.Verdict, r.Reason = check.Inconclusive, "no request was answered"
		return r
	}
	worst, off := "", 0.0
	for i := range r.Shares.Backends {
		b := &r.Shares.Backends[i]
		b.Observed = w.asking[b.Outcome]
		b.Share = float64(b.Observed) / float64(total)
		b.Low, b.High = b.Share, b.Share
		want, _ := b.Expected.Float64()
		margin, _ := m.Of(b.Expected).Float64()
		if d := max(b.Share-want, want-b.Share) - margin; d > 0 && (worst == "" || d > off) {
			off, worst = d, fmt.Sprintf("%s has %.4g %% of the requests", b.Outcome, 100*b.Share)
		}
	}
	r.N = total
	if worst != "" {
		r.Reason = fmt.Sprintf("%s: %d requests ride on %d connections that drew; %s", worst, total, draws, r.Reason)
		if r.Verdict == check.Pass {
			r.Verdict = check.Inconclusive
		}
		return r
	}
	r.Reason = fmt.Sprintf("requests are within the margin; %s", r.Reason)
	return r
}

// reachable holds every connection's end against the expected one. There is no chance in it.
func (w *observer) reachable(name string, c *scenario.Reachable) check.Result {
	expect := c.Expect
	var counts [4]int64
	for _, x := range w.ends {
		if x.at >= c.After.Duration && (c.Before.Duration == 0 || x.at < c.Before.Duration) {
			counts[x.result]++

		}
	}
	r := check.Result{Name: name, Verdict: check.Pass}
	want := map[string][]replay.Result{
		"answered": {replay.Answered}, "rejected": {replay.Refused, replay.Unreachable}, "dropped": {replay.TimedOut},
	}[expect]
	var other int64
	var first string
	for i, n := range counts {
		r.N += n
		if !slices.Contains(want, replay.Result(i)) && n > 0 {
			other += n
			if first == "" {
				first = replay.Result(i).String() + ": " + w.first[i]
			}
		}
	}
	switch {
	case r.N == 0:
		r.Verdict, r.Reason = check.Inconclusive, "there was no connection"
	case other > 0:
		r.Verdict = check.Fail
		r.Reason = fmt.Sprintf("%d of %d connections were not %s; first %s", other, r.N, expect, first)
	default:
		r.Reason = fmt.Sprintf("all %d connections were %s", r.N, expect)
	}
	return r
}

// sticks judges whether clients kept their endpoint until the timeout, and drew anew after it.
func (w *observer) sticks(name string, c *scenario.Affinity) check.Result {
	a := &w.affinity
	r := check.Result{Name: name, N: a.kept + a.broken + a.after, Verdict: check.Pass}
	switch {
	case a.broken > 0:
		r.Verdict = check.Fail
		r.Reason = fmt.Sprintf("%d of %d connections within %s of their client's last one went to another endpoint; first %s", a.broken, a.broken+a.kept, c.Timeout, w.firstBroken)
	case a.stuck > 0:
		r.Verdict = check.Fail
		r.Reason = fmt.Sprintf("%d of %d connections after the timeout drew nothing: the old endpoint was kept", a.stuck, a.after)
	case r.N == 0:
		r.Verdict, r.Reason = check.Inconclusive, "no client connected twice"
	default:
		r.Reason = fmt.Sprintf("all %d connections within %s of their client's last one went to its endpoint; of %d after it, %d went to another", a.kept, c.Timeout, a.after, a.moved)
	}
	return r
}

// counted adds up what rules counted.
func (e *engine) counted(c *scenario.Check) (check.Result, error) {
	k := c.Counter
	st := e.sites[0]
	if k.Node != "" {
		st = e.siteNamed(k.Node)
	}
	f := packet.IPv4
	if k.Family == "ipv6" {
		f = packet.IPv6
	}
	sum := measure.NewCounter("packets")
	rules := 0
	for line := range strings.Lines(st.Node.Linked(f).Print(true)) {
		if !strings.Contains(line, k.Rule.Value) || !strings.HasPrefix(line, "[") {
			continue
		}
		text, _, _ := strings.Cut(strings.TrimPrefix(line, "["), ":")
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			continue
		}
		rules++
		sum.Add(n)
	}
	if rules == 0 {
		return check.Result{Name: c.Name, Verdict: check.Fail, Reason: fmt.Sprintf("no rule holds %q", k.Rule.Value)}, nil
	}
	th, err := check.ParseThreshold("packets", k.Expect.Value)
	if err != nil {
		return check.Result{}, e.scenario.Errorf(k.Expect.At, "%v", err)
	}
	var m measure.Metrics
	m.Add(sum)
	r, err := th.Check(c.Name, &m)
	r.Reason = fmt.Sprintf("%d rules hold %q: %s", rules, k.Rule.Value, r.Reason)
	return r, err
}
