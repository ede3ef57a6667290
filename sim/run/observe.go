package run

import (
	"fmt"
	"math/big"
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/datapath/share"
	"github.com/svclab/svclab/sim/check"
	"github.com/svclab/svclab/sim/measure"
	"github.com/svclab/svclab/sim/replay"
	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/traffic"
)

// observer watches the connections of one traffic.
type observer struct {
	group   *traffic.Group
	plan    *plan
	now     []*measure.Tally          // of the present stretch, by node; nil where no connection comes
	tallies []*measure.Tally          // of all stretches and nodes, in the order they began
	whole   []measure.Epoch           // shares over all nodes, each weighed by what comes to it
	since   time.Duration             // when the last of them began
	settled map[measure.Outcome]int64 // connections that state decided, without a draw
	results [4]int64                  // by replay.Result
	first   [4]string                 // the first connection with each result, and why it ended so
	ends    []ending                  // of every connection that failed, in the order of time; the first maxEnds of them
	failed  struct {                  // when connections or requests failed
		any         bool
		first, last time.Duration
		full        int64 // because the connection table was full
	}
	served struct{ first, last time.Duration } // when connections were answered

	placed  map[measure.Outcome]int64 // answered connections
	asking  map[measure.Outcome]int64 // answered requests
	open    map[measure.Outcome]int64 // connections that are open now
	nodes   []int64                   // connections by node
	clients map[netip.Addr]*visit
	pool    map[[2]int64]*slot

	requests, unanswered int64
	firstUnanswered      string
	connect, rules       *measure.Trend
	opening              *measure.Latency // as connect
	latency              *measure.Latency // of answered requests, from the time they were meant to be sent
	lookups              struct {
		n, failed int64
		time      *measure.Latency
		queries   *measure.Trend
	}
	affinity    struct{ kept, broken, moved, stuck, after int64 }
	firstBroken string
	masked      int64         // answered connections whose endpoint saw another source than the client
	timeout     time.Duration // of the affinity check; 0 without one
}

// ending is how a connection ended, and when.
type ending struct {
	at     time.Duration
	result replay.Result
}

// visit is what is known of a client: its last endpoint and when it was sent there.
type visit struct {
	to   measure.Outcome
	at   time.Duration
	node int
}

func newObserver(g *traffic.Group, p *plan, sites int) *observer {
	w := &observer{
		group: g, plan: p, now: make([]*measure.Tally, sites), nodes: make([]int64, sites),
		settled: map[measure.Outcome]int64{}, placed: map[measure.Outcome]int64{}, asking: map[measure.Outcome]int64{}, open: map[measure.Outcome]int64{},
		clients: map[netip.Addr]*visit{}, pool: map[[2]int64]*slot{},
		connect: measure.NewDurations("connect_time"), opening: measure.NewLatency("connect_time"), latency: measure.NewLatency("request_time"), rules: measure.NewNumbers("rules_passed", measure.UnitCount),
	}
	w.lookups.time, w.lookups.queries = measure.NewLatency("lookup_time"), measure.NewNumbers("lookup_queries", measure.UnitCount)
	return w
}

// lookedUp notes one lookup of a name.
func (w *observer) lookedUp(took time.Duration, queries int, found bool) {
	l := &w.lookups
	l.n++
	if !found {
		l.failed++
	}
	l.time.AddDuration(took)
	l.queries.Add(int64(queries))
}

// epoch begins a stretch with the exact shares that a new client's first connection has now, at one node or, with nil, at all that
// connections come to.
func (w *observer) epoch(sites []*site, at *site, now time.Duration) error {
	weights := w.plan.weights(len(sites))
	name := ""
	if now > 0 {
		name = "from " + now.String()
	}
	for _, st := range sites {
		if weights[st.index] == 0 || st.lost || at != nil && at != st && w.now[st.index] != nil {
			continue
		}
		e, err := w.exact(st, name, now)
		if err != nil {
			return err
		}
		if t := w.now[st.index]; t != nil && t.Epoch.Equal(e) {
			continue
		}
		w.now[st.index] = measure.NewTally(e)
		w.tallies = append(w.tallies, w.now[st.index])
	}
	whole, err := mixed(name, w.now, weights)
	if err != nil || len(whole.Cells) == 0 {
		return err
	}
	if n := len(w.whole); n > 0 && w.since == now { // another node at the same moment: no connection came between
		w.whole = w.whole[:n-1]
	}
	if n := len(w.whole); n == 0 || !w.whole[n-1].Equal(whole) {
		w.whole, w.since = append(w.whole, whole), now
	}
	return nil
}

// mixed is the distribution over several nodes.
func mixed(name string, nodes []*measure.Tally, weights []int64) (measure.Epoch, error) {
	var sum int64
	some := measure.Epoch{}
	for i, t := range nodes {
		if t != nil && weights[i] > 0 {
			sum += weights[i]
			some = t.Epoch
		}
	}
	switch {
	case sum == 0:
		return measure.Epoch{}, nil
	case len(nodes) == 1:
		return some, nil
	}
	shares := map[measure.Outcome]*big.Rat{}
	var order []measure.Outcome
	for i, t := range nodes {
		if t == nil || weights[i] == 0 {
			continue
		}
		for _, c := range t.Epoch.Cells {
			if shares[c.Outcome] == nil {
				shares[c.Outcome] = new(big.Rat)
				order = append(order, c.Outcome)
			}
			shares[c.Outcome].Add(shares[c.Outcome], new(big.Rat).Mul(c.Share, big.NewRat(weights[i], sum)))
		}
	}
	var cells []measure.Cell
	for _, o := range order {
		cells = append(cells, measure.Cell{Outcome: o, Share: shares[o]})
	}
	return measure.NewEpoch(name, cells)
}

// exact asks the model what can become of a new client's first connection at a node.
func (w *observer) exact(st *site, name string, now time.Duration) (measure.Epoch, error) {
	src := netip.AddrPortFrom(w.plan.probe, 1024) // below the range that clients use: no connection of the run is met
	if len(w.plan.from) > 0 && w.plan.from[0] != nil && w.plan.from[0] != st {
		for i, s := range w.plan.from {
			if s == st {
				src = netip.AddrPortFrom(w.group.Clients[i], 1024)
				break
			}
		}
	}
	to := w.plan.destination(st, w.group.To)
	outcomes, err := share.Of(st.Node, now, st.ingress(src.Addr()), replay.FirstPacket(w.group.Proto, src, to))
	if err != nil {
		return measure.Epoch{}, fmt.Errorf("traffic %s: %w", w.group.Name, err)
	}
	shares := map[measure.Outcome]share.Fraction{}
	var order []measure.Outcome
	for _, o := range outcomes {
		if o.Problem != nil {
			return measure.Epoch{}, fmt.Errorf("traffic %s: %w", w.group.Name, st.problem(o.Problem))
		}
		k := outcomeOf(o.Fate, o.Endpoint, to)
		if _, ok := shares[k]; !ok {
			order = append(order, k)
		}
		shares[k] = shares[k].Add(o.Probability)
	}
	var cells []measure.Cell
	for _, k := range order {
		cells = append(cells, measure.Cell{Outcome: k, Share: bounded(shares[k].Rat())})
	}
	return measure.NewEpoch(name, cells)
}

// bounded cuts a share in which more than share.MaxExactDraws draws are to 192 binary digits: far below what the tolerance of 2^-31
// or any number of connections can notice.
func bounded(r *big.Rat) *big.Rat {
	const digits = 192
	if r.Denom().BitLen() <= 31*share.MaxExactDraws+64 {
		return r
	}
	n := new(big.Int).Lsh(r.Num(), digits)
	return new(big.Rat).SetFrac(n.Quo(n, r.Denom()), new(big.Int).Lsh(big.NewInt(1), digits))
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
func (w *observer) see(now time.Duration, o *opened, known map[target]bool) {
	f, st, drew := &o.flow, o.site, o.drew
	w.results[o.Result]++
	if w.first[o.Result] == "" {
		w.first[o.Result] = fmt.Sprintf("connection %d, %s to %s at %s", f.ID, f.Src, f.Dst, f.At)
		if o.Reason != "" {
			w.first[o.Result] += ": " + o.Reason
		}
	}
	w.ends = append(w.ends, ending{f.At, o.Result})
	w.rules.Add(int64(o.First.Work.Rules))
	if o.Result == replay.Answered {
		w.connect.AddDuration(now - f.At)
		w.opening.AddDuration(now - f.At)
		w.answered(now, o, known)
	} else {
		w.fails(f.At)
	}
	k := measure.Timeout()
	if st != nil {
		w.nodes[st.index]++
		k = outcomeOf(o.First.Fate, o.Endpoint, f.Dst)
		if t := w.now[st.index]; t != nil && !st.lost && (drew || st.Mode != service.ModeIPVS && t.Epoch.Possible() == 1 && t.Epoch.Cells[0].Outcome == k) {
			t.AddOutcome(k)
			return
		}
	}
	w.settled[k]++
}

// answered notes where a connection went, and whether its client had been there before.
func (w *observer) answered(now time.Duration, o *opened, known map[target]bool) {
	f, st, drew := &o.flow, o.site, o.drew
	k := measure.Backend(o.Endpoint)
	w.placed[k]++
	if o.Seen.Addr() != f.Src.Addr() {
		w.masked++
	}
	if len(w.placed) == 1 && w.placed[k] == 1 {
		w.served.first = now
	}
	w.served.last = now
	if w.timeout == 0 {
		return
	}
	m := w.clients[f.Src.Addr()]
	if m == nil {
		w.clients[f.Src.Addr()] = &visit{k, now, st.index}
		return
	}
	idle := now - m.at
	switch {
	case m.node != st.index || !known[target{m.to.Endpoint, w.group.Proto}]: // another node's memory, or the endpoint has gone
	case idle < w.timeout && m.to == k:
		w.affinity.kept++
	case idle < w.timeout:
		w.affinity.broken++
		if w.firstBroken == "" {
			w.firstBroken = fmt.Sprintf("%s went to %s at %s and to %s %s later", f.Src.Addr(), m.to, m.at, k, idle)
		}
	case idle > w.timeout+2*time.Second:
		w.affinity.after++
		if m.to != k {
			w.affinity.moved++
		}
		if !drew && st.Mode != service.ModeIPVS {
			w.affinity.stuck++
		}
	}
	*m = visit{k, now, st.index}
}

// fails notes a failure's time.
func (w *observer) fails(at time.Duration) {
	if !w.failed.any {
		w.failed.any, w.failed.first = true, at
	}
	w.failed.last = max(w.failed.last, at)
}

// asked notes one request that was meant to be sent at a time; why says what went wrong, "" for an answer.
func (w *observer) asked(now, meant time.Duration, l *link, why string) {
	w.requests++
	if why != "" {
		w.unanswered++
		if w.firstUnanswered == "" {
			w.firstUnanswered = fmt.Sprintf("at %s: %s", now, why)
		}
		w.fails(now)
		return
	}
	w.latency.AddDuration(now - meant)
	w.asking[l.outcome]++
}

func (w *observer) totals() report.Traffic {
	t := report.Traffic{
		Name: w.group.Name, Answered: w.results[replay.Answered], Dropped: w.results[replay.TimedOut],
		Rejected: w.results[replay.Refused] + w.results[replay.Unreachable],
	}
	t.Connections = t.Answered + t.Dropped + t.Rejected
	t.Requests, t.Failed = w.requests, w.unanswered
	return t
}

// convert turns a check's result into its form in reports.
func convert(r check.Result) report.Check {
	out := report.Check{Name: r.Name, Verdict: r.Verdict.String(), Reason: r.Reason, N: r.N}
	if m := r.Measured; m != nil {
		out.Measured = &report.Measured{Metric: m.Metric, Want: m.Want, Got: m.Got}
	}
	f := r.Shares
	if f == nil {
		return out
	}
	if f.LogThreshold > 0 { // a test was made
		out.EValue = report.Num(f.EValue())
	}
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
