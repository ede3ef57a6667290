package run

import (
	"fmt"
	"math/big"
	"net/netip"
	"slices"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/check"
	"github.com/svclab/svclab/sim/measure"
	"github.com/svclab/svclab/sim/scenario"
)

// perNode holds what came to each node against what it should. Balancers draw nothing, but for hashes, which are the same for the
// same five-tuples.
func (e *engine) perNode(c *scenario.Check, w *observer) (check.Result, error) {
	counts := map[measure.Outcome]int64{}
	var among []measure.Outcome
	for i, st := range e.sites {
		o := measure.OnNode(st.Host.Name)
		counts[o] = w.nodes[i]
		among = append(among, o)
	}
	return e.fixed(c, counts, among)
}

// scheduled holds what endpoints got from a scheduler that draws nothing against what they should get.
func (e *engine) scheduled(c *scenario.Check, w *observer) (check.Result, error) {
	counts := map[measure.Outcome]int64{}
	var among []measure.Outcome
	for k, n := range w.settled {
		if k.Kind == measure.KindBackend {
			counts[k] = n
		}
	}
	for _, k := range e.endpointsOf(w) {
		among = append(among, k)
	}
	return e.fixed(c, counts, among)
}

// fixed judges counts in which there was no chance.
func (e *engine) fixed(c *scenario.Check, counts map[measure.Outcome]int64, among []measure.Outcome) (check.Result, error) {
	x, err := e.expected(c)
	if err != nil {
		return check.Result{}, err
	}
	for k := range counts {
		if !slices.Contains(among, k) {
			among = append(among, k)
		}
	}
	slices.SortFunc(among, measure.Outcome.Compare)
	r := check.Result{Name: c.Name, Verdict: check.Pass, Shares: &check.SharesFinding{}}
	for _, n := range counts {
		r.N += n
	}
	if r.N == 0 {
		r.Shares, r.Verdict, r.Reason = nil, check.Inconclusive, "there was no connection"
		return r, nil
	}
	want := map[measure.Outcome]*big.Rat{}
	switch {
	case x == nil:
		r.Reason = "nothing was drawn, and no shares are expected; "
	case len(x.Weights) == 0:
		for _, k := range among {
			want[k] = big.NewRat(1, int64(len(among)))
		}
	default:
		for _, wt := range x.Weights {
			want[wt.Outcome] = wt.Weight
		}
	}
	m, worst := marginOf(c), ""
	for _, k := range among {
		got := big.NewRat(counts[k], r.N)
		p := want[k]
		if p == nil {
			p = new(big.Rat)
			if x == nil {
				p = got
			}
		}
		share, _ := got.Float64()
		r.Shares.Backends = append(r.Shares.Backends, check.BackendFinding{Outcome: k, Expected: p, Observed: counts[k], Share: share, Low: share, High: share, Determinate: true})
		d := new(big.Rat).Sub(got, p)
		if d.Abs(d).Cmp(m.Of(p)) > 0 && worst == "" {
			worst = fmt.Sprintf("%s has %d of %d, %.4g %%", k, counts[k], r.N, 100*share)
		}
	}
	if worst != "" {
		r.Verdict = check.Fail
		r.Reason += worst + "; there was no chance in it"
		return r, nil
	}
	r.Reason += fmt.Sprintf("all of %d within the margin; there was no chance in it", r.N)
	return r, nil
}

// endpointsOf lists the ready endpoints of a traffic's Service.
func (e *engine) endpointsOf(w *observer) (out []measure.Outcome) {
	if w.plan.service == "" {
		return nil
	}
	var port string
	found := false
	for _, p := range e.sites[0].State.Ports(packet.FamilyOf(w.group.To.Addr())) {
		if p.Name.String() == w.plan.service && p.Protocol == w.group.Proto && (p.Port == w.group.To.Port() || p.NodePort == w.group.To.Port()) {
			port, found = p.PortName.Port, true
		}
	}
	for _, sl := range e.api.slices {
		if sl.Service.String() != w.plan.service || sl.Family != packet.FamilyOf(w.group.To.Addr()) {
			continue
		}
		for _, p := range sl.Ports {
			if p.Protocol != w.group.Proto || found && p.Name != port {
				continue
			}
			for _, x := range sl.Endpoints {
				if x.Ready {
					out = append(out, measure.Backend(netip.AddrPortFrom(x.Addresses[0], p.Port)))
				}
			}
		}
	}
	return out
}
