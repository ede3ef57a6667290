package run

import (
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/share"
	"github.com/svclab/svclab/sim/check"
	"github.com/svclab/svclab/sim/measure"
	"github.com/svclab/svclab/sim/replay"
	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/scenario"
	"github.com/svclab/svclab/sim/traffic"
)

// observer watches the connections of one traffic.
type observer struct {
	group   *traffic.Group
	tallies []*measure.Tally
	settled map[measure.Outcome]int64 // connections that state decided, without a draw
	results [4]int64                  // by replay.Result
	first   [4]string                 // the first connection with each result, and why it ended so
}

func newObserver(g *traffic.Group) *observer {
	return &observer{group: g, settled: map[measure.Outcome]int64{}}
}

// epoch begins a stretch with the exact shares that a client's first connection has now.
func (w *observer) epoch(s *Subject, now time.Duration) error {
	src := netip.AddrPortFrom(w.group.Clients[0], 1024) // below the range that clients use: no connection of the run is met
	p := replay.FirstPacket(w.group.Proto, src, w.group.To)
	outcomes, err := share.Of(s.Node, now, s.ingress(src.Addr()), p)
	if err != nil {
		return fmt.Errorf("traffic %s: %w", w.group.Name, err)
	}
	shares := map[measure.Outcome]share.Fraction{}
	var order []measure.Outcome
	for _, o := range outcomes {
		if o.Problem != nil {
			return fmt.Errorf("traffic %s: %w", w.group.Name, s.problem(o.Problem))
		}
		k := outcomeOf(o.Fate, o.Endpoint, w.group.To)
		if _, ok := shares[k]; !ok {
			order = append(order, k)
		}
		shares[k] = shares[k].Add(o.Probability)
	}
	var cells []measure.Cell
	for _, k := range order {
		cells = append(cells, measure.Cell{Outcome: k, Share: shares[k].Rat()})
	}
	name := ""
	if now > 0 {
		name = "from " + now.String()
	}
	e, err := measure.NewEpoch(name, cells)
	if err != nil {
		return err
	}
	w.tallies = append(w.tallies, measure.NewTally(e))
	return nil
}

// outcomeOf names where a first packet ended. One that no rule translated ended where it was sent.
func outcomeOf(f datapath.Fate, endpoint, to netip.AddrPort) measure.Outcome {
	switch f {
	case datapath.Dropped:
		return measure.Timeout()
	case datapath.Rejected:
		return measure.Refused()
	}
	if !endpoint.IsValid() {
		endpoint = to
	}
	return measure.Backend(endpoint)
}

// see notes one connection. What counts for shares is a draw, or the one outcome where there is no choice.
func (w *observer) see(f traffic.Flow, o replay.Outcome, drew bool) {
	w.results[o.Result]++
	if w.first[o.Result] == "" {
		w.first[o.Result] = fmt.Sprintf("connection %d, %s to %s at %s", f.ID, f.Src, f.Dst, f.At)
		if o.Reason != "" {
			w.first[o.Result] += ": " + o.Reason
		}
	}
	k := outcomeOf(o.First.Fate, o.Endpoint, w.group.To)
	t := w.tallies[len(w.tallies)-1]
	if drew || t.Epoch.Possible() == 1 && t.Epoch.Cells[0].Outcome == k {
		t.AddOutcome(k)
		return
	}
	w.settled[k]++
}

func (w *observer) totals() report.Traffic {
	t := report.Traffic{
		Name: w.group.Name, Answered: w.results[replay.Answered], Dropped: w.results[replay.TimedOut],
		Rejected: w.results[replay.Refused] + w.results[replay.Unreachable],
	}
	t.Connections = t.Answered + t.Dropped + t.Rejected
	return t
}

// judge answers one check.
func (e *engine) judge(c *scenario.Check, plan check.Plan) (check.Result, error) {
	if c.Reachable != nil {
		return e.observerOf(c.Reachable.Traffic.Value).reachable(c.Name, c.Reachable.Expect), nil
	}
	w := e.observerOf(c.Shares.Traffic.Value)
	k := check.SharesCheck{Name: c.Name, Plan: plan, Margin: check.DefaultMargin()}
	if c.Shares.Margin.Given {
		k.Margin = c.Shares.Margin.Margin
	}
	switch c.Shares.Expect.Kind {
	case "uniform":
		u := check.Uniform()
		k.Expect = &u
	case "each":
		var list []check.Weight
		for _, x := range c.Shares.Expect.Each {
			list = append(list, check.Weight{Outcome: measure.Backend(x.Endpoint.AddrPort), Weight: x.Share.Rat})
		}
		x, err := check.Explicit(list)
		if err != nil {
			return check.Result{}, e.scenario.Errorf(c.Shares.At, "%v", err)
		}
		k.Expect = &x
	}
	r, err := k.Check(w.tallies)
	if n := w.settledCount(); err == nil && n > 0 {
		r.Reason += fmt.Sprintf("; %d more connections were placed by state and drew nothing", n)
	}
	return r, err
}

func (w *observer) settledCount() (n int64) {
	for _, c := range w.settled {
		n += c
	}
	return n
}

// reachable holds every connection's end against the expected one. There is no chance in it.
func (w *observer) reachable(name, expect string) check.Result {
	t := w.totals()
	r := check.Result{Name: name, N: t.Connections, Verdict: check.Pass}
	want := map[string][]replay.Result{
		"answered": {replay.Answered}, "rejected": {replay.Refused, replay.Unreachable}, "dropped": {replay.TimedOut},
	}[expect]
	var other int64
	var first string
	for i := range w.results {
		if !slices.Contains(want, replay.Result(i)) && w.results[i] > 0 {
			other += w.results[i]
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

// convert turns a check's result into its form in reports.
func convert(r check.Result) report.Check {
	out := report.Check{Name: r.Name, Verdict: r.Verdict.String(), Reason: r.Reason, N: r.N}
	f := r.Shares
	if f == nil {
		return out
	}
	out.EValue = report.Num(f.EValue())
	if f.Familiar.Meaningless == "" && f.Familiar.DegreesOfFreedom > 0 {
		out.ChiSquare, out.PValue = report.Num(f.Familiar.ChiSquare), report.Num(f.Familiar.ChiSquareP)
	}
	for _, b := range f.Backends {
		out.Backends = append(out.Backends, report.Backend{
			Endpoint: b.Outcome.String(), Expected: fraction(b.Expected), Observed: b.Observed,
			Low: report.Num(b.Low), High: report.Num(b.High),
		})
	}
	return out
}

// fraction prints a share exactly, or with 40 significant digits where more than share.MaxExactDraws draws are in it.
func fraction(r *big.Rat) string {
	if r.Denom().BitLen() <= 31*share.MaxExactDraws+64 {
		return r.RatString()
	}
	return new(big.Float).SetPrec(256).SetRat(r).Text('g', 40)
}
