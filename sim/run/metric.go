package run

import (
	"math/big"
	"slices"

	"github.com/svclab/svclab/sim/measure"
	"github.com/svclab/svclab/sim/replay"
	"github.com/svclab/svclab/sim/scenario"
)

// metrics are all that thresholds can be about: those of the run, and those of each traffic.
type metrics struct {
	run     *measure.Metrics
	traffic map[string]*measure.Metrics
}

// of are the metrics that a threshold can name.
func (m metrics) of(t *scenario.Threshold) *measure.Metrics {
	if x := m.traffic[t.Traffic.Value]; x != nil {
		return x
	}
	return m.run
}

// metrics gathers what was measured up to now. Those of the run:
//
//	sync_delay        time from a change in the API to the sync that carries it out
//	syncs             syncs of kube-proxy, over all nodes
//	conntrack_entries entries of connection tracking at the end, of each node
//
// and those of a traffic:
//
//	connections, answered, rejected, dropped   how connections ended
//	failures                    part of the connections that were not answered
//	connect_time                time until a connection was answered, of those that were
//	rules_passed                rules that the first packet of a connection tried, in all tables and hooks
//	requests, request_failures  requests, and the part of them that was not answered
//	request_time                time from when a request was meant to be sent until its answer came, of those that were answered
//	lookups, lookup_failures    lookups of names, and the part of them that found no address
//	lookup_time, lookup_queries time that a lookup took, and the queries that it sent
//	outage                      time from the first failure to the last
//	endpoint_connections, endpoint_requests, endpoint_open   connections, requests and open connections of each endpoint, those
//	                            without any included
//	busiest_share, busiest_request_share   part of the connections or requests that the endpoint with the most has
//	idle_endpoints              ready endpoints without a connection
//	node_connections            connections of each node
//	busiest_node_share          part of the connections that the node with the most has
//	exact_share                 exact shares of the endpoints, over all stretches of the run
//	masqueraded                 part of the answered connections whose endpoint saw another source than the client
//	affinity_split              clients whose last endpoint has another address than in the traffic to the same Service before this
//	                            one; with affinity checks alone
//	affinity_broken, affinity_moved, affinity_stuck   connections within the timeout that went elsewhere; those after it that
//	                            did, and those that drew nothing; with an affinity check alone
func (e *engine) metrics() metrics {
	all := metrics{run: &measure.Metrics{}, traffic: map[string]*measure.Metrics{}}
	entries := measure.NewNumbers("conntrack_entries", measure.UnitCount)
	for _, st := range e.sites {
		entries.Add(int64(st.Node.Conns.Len()))
	}
	shared := []measure.Metric{e.syncDelay, e.syncs, entries}
	for _, x := range shared {
		all.run.Add(x)
	}
	for i, w := range e.watch {
		m := &measure.Metrics{}
		m.Add(w.split(e.watch[:i]))
		for _, x := range shared {
			m.Add(x)
		}
		w.metrics(m, e.endpointsOf(w))
		all.traffic[w.group.Name] = m
	}
	return all
}

func (w *observer) metrics(m *measure.Metrics, endpoints []measure.Outcome) {
	count := func(name string, n int64) {
		c := measure.NewCounter(name)
		c.Add(n)
		m.Add(c)
	}
	part := func(name string, n, of int64) {
		r := &portion{name: name, hits: n, n: of}
		m.Add(r)
	}
	t := w.totals()
	count("connections", t.Connections)
	count("answered", t.Answered)
	count("rejected", t.Rejected)
	count("dropped", t.Dropped)
	part("failures", t.Connections-w.results[replay.Answered], t.Connections)
	m.Add(w.connect)
	m.Add(w.rules)
	count("requests", w.requests)
	part("request_failures", w.unanswered, w.requests)
	m.Add(w.latency)
	count("lookups", w.lookups.n)
	part("lookup_failures", w.lookups.failed, w.lookups.n)
	m.Add(w.lookups.time)
	m.Add(w.lookups.queries)
	outage := measure.NewDurations("outage")
	outage.AddDuration(w.failed.last - w.failed.first)
	m.Add(outage)

	each := func(name string, counts map[measure.Outcome]int64) (most, sum int64) {
		trend := measure.NewNumbers(name, measure.UnitCount)
		for _, k := range w.everywhere(endpoints, counts) {
			trend.Add(counts[k])
			most, sum = max(most, counts[k]), sum+counts[k]
		}
		m.Add(trend)
		return most, sum
	}
	most, sum := each("endpoint_connections", w.placed)
	part("busiest_share", most, sum)
	most, sum = each("endpoint_requests", w.asking)
	part("busiest_request_share", most, sum)
	each("endpoint_open", w.open)
	idle := int64(0)
	for _, k := range endpoints {
		if w.placed[k] == 0 {
			idle++
		}
	}
	count("idle_endpoints", idle)

	nodes := measure.NewNumbers("node_connections", measure.UnitCount)
	most, sum = 0, 0
	for _, n := range w.nodes {
		nodes.Add(n)
		most, sum = max(most, n), sum+n
	}
	m.Add(nodes)
	part("busiest_node_share", most, sum)
	m.Add(&exactShares{w.whole})
	part("masqueraded", w.masked, w.results[replay.Answered])
	count("affinity_broken", w.affinity.broken)
	count("affinity_moved", w.affinity.moved)
	count("affinity_stuck", w.affinity.stuck)
}

// split counts the clients that another traffic of the same Service sent elsewhere.
func (w *observer) split(before []*observer) measure.Metric {
	n := measure.NewCounter("affinity_split")
	for _, o := range slices.Backward(before) {
		if o.plan.service != w.plan.service || w.plan.service == "" {
			continue
		}
		for a, m := range w.clients {
			if x := o.clients[a]; x != nil && x.to.Endpoint.Addr() != m.to.Endpoint.Addr() {
				n.Add(1)
			}
		}
		break
	}
	return n
}

// everywhere lists endpoints that are ready and those that were used.
func (w *observer) everywhere(endpoints []measure.Outcome, used map[measure.Outcome]int64) []measure.Outcome {
	out := slices.Clone(endpoints)
	seen := map[measure.Outcome]bool{}
	for _, k := range out {
		seen[k] = true
	}
	for k := range used {
		if !seen[k] {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, measure.Outcome.Compare)
	return out
}

// portion is a rate of which the numbers are known.
type portion struct {
	name    string
	hits, n int64
}

// Name implements measure.Metric.
func (p *portion) Name() string { return p.name }

// Unit implements measure.Metric.
func (p *portion) Unit() measure.Unit { return measure.UnitShare }

// N implements measure.Metric.
func (p *portion) N() int64 { return p.n }

// Stat implements measure.Metric: rate and count.
func (p *portion) Stat(s measure.Stat) (*big.Rat, error) {
	switch {
	case s.Name == "count":
		return new(big.Rat).SetInt64(p.n), nil
	case s.Name != "rate":
		return nil, &measure.StatError{Metric: p.name, Stat: s.String(), Reason: "is no statistic of a rate; it has rate and count"}
	case p.n == 0:
		return nil, &measure.StatError{Metric: p.name, Stat: s.String(), Reason: "has no samples"}
	}
	return big.NewRat(p.hits, p.n), nil
}

// exactShares are the shares that the rules give, as fractions.
type exactShares struct{ epochs []measure.Epoch }

// Name implements measure.Metric.
func (x *exactShares) Name() string { return "exact_share" }

// Unit implements measure.Metric.
func (x *exactShares) Unit() measure.Unit { return measure.UnitShare }

// N implements measure.Metric: the number of shares.
func (x *exactShares) N() (n int64) {
	for _, e := range x.epochs {
		n += int64(len(e.Cells))
	}
	return n
}

// Stat implements measure.Metric: min, max and count.
func (x *exactShares) Stat(s measure.Stat) (*big.Rat, error) {
	var low, high *big.Rat
	for _, e := range x.epochs {
		for _, c := range e.Cells {
			if c.Outcome.Kind != measure.KindBackend {
				continue
			}
			if low == nil || c.Share.Cmp(low) < 0 {
				low = c.Share
			}
			if high == nil || c.Share.Cmp(high) > 0 {
				high = c.Share
			}
		}
	}
	switch {
	case s.Name == "count":
		return new(big.Rat).SetInt64(x.N()), nil
	case s.Name != "min" && s.Name != "max":
		return nil, &measure.StatError{Metric: x.Name(), Stat: s.String(), Reason: "is no statistic of shares; they have min, max and count"}
	case low == nil:
		return nil, &measure.StatError{Metric: x.Name(), Stat: s.String(), Reason: "has no samples"}
	case s.Name == "min":
		return low, nil
	}
	return high, nil
}
