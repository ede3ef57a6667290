package run

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/scenario"
	"github.com/svclab/svclab/sim/topology"
	"github.com/svclab/svclab/sim/traffic"
)

// plan is how the connections of one traffic find their node.
type plan struct {
	from     []*site // node of each client; nil entries are outside
	fixed    *site   // the one node that all come to; nil when clients or the balancer decide
	balancer topology.Balancer
	up       []*site // nodes that the balancer knows to be up
	nodePort bool    // the destination is the address of the node they come to
	service  string
	local    bool       // the balancer passes by nodes without an endpoint
	probe    netip.Addr // an address like the clients' that opens no connection: what is new to every memory
}

// planOf decides how a traffic's connections find their node; it spreads clients over the nodes.
func (e *engine) planOf(t *scenario.Traffic, g *traffic.Group) (*plan, error) {
	p := &plan{service: t.To.Service.Value, probe: g.Clients[0]}
	if len(e.sites) == 1 {
		p.fixed = e.sites[0]
		e.probeOf(p, t, g)
		return p, nil
	}
	f := packet.FamilyOf(g.To.Addr())
	at := e.sites
	if len(t.From.On) > 0 || t.From.Zone != "" {
		at = nil
		for _, n := range t.From.On {
			if e.siteNamed(n) == nil {
				return nil, e.scenario.Errorf(t.From.At, "no modelled node is called %q", n)
			}
		}
		for _, st := range e.sites {
			if (len(t.From.On) == 0 || slices.Contains(t.From.On, st.Host.Name)) && (t.From.Zone == "" || st.State.Node.Labels[service.LabelZone] == t.From.Zone) {
				at = append(at, st)
			}
		}
		if len(at) == 0 {
			return nil, e.scenario.Errorf(t.From.At, "no modelled node is in zone %q", t.From.Zone)
		}
	}
	switch {
	case t.From.Pods > 0:
		each := make([][]netip.Addr, len(at))
		for i, st := range at {
			n := (t.From.Pods + len(at) - 1 - i) / len(at)
			var err error
			if each[i], err = st.podClients(e.scenario, t, f, n); err != nil {
				return nil, err
			}
		}
		g.Clients = g.Clients[:0:0]
		for k := range t.From.Pods {
			i := k % len(at)
			g.Clients, p.from = append(g.Clients, each[i][k/len(at)]), append(p.from, at[i])
		}
	case t.From.Node:
		g.Clients = g.Clients[:0:0]
		for _, st := range at {
			for _, a := range st.Host.NodeIPs {
				if packet.FamilyOf(a) == f {
					g.Clients, p.from = append(g.Clients, a), append(p.from, st)
					break
				}
			}
		}
	default:
		for _, a := range g.Clients {
			p.from = append(p.from, e.siteOf(a))
		}
	}
	inside := !slices.Contains(p.from, nil)
	p.nodePort = t.To.Via == "nodePort" && t.To.Node == ""
	switch st := e.siteOf(g.To.Addr()); {
	case t.To.Node != "":
		if p.fixed = e.siteNamed(t.To.Node); p.fixed == nil {
			return nil, e.scenario.Errorf(t.To.At, "no modelled node is called %q", t.To.Node)
		}
		for _, a := range p.fixed.Host.NodeIPs {
			if t.To.Via == "nodePort" && packet.FamilyOf(a) == f {
				g.To = netip.AddrPortFrom(a, g.To.Port())
				break
			}
		}
	case inside:
	case st != nil && t.To.Balancer == "" && !p.nodePort:
		p.fixed = st
	default:
		switch t.To.Balancer {
		case "ecmp":
			p.balancer = topology.ECMP{Seed: e.seed}
		case "l2":
			p.balancer = topology.L2{}
		default:
			p.balancer = &topology.RoundRobin{}
		}
		p.local = !t.To.Every && e.policyLocal(p.service)
	}
	e.probeOf(p, t, g)
	return p, nil
}

// probeOf finds an address like the clients' that is none of them.
func (e *engine) probeOf(p *plan, t *scenario.Traffic, g *traffic.Group) {
	p.probe = g.Clients[0]
	if t.From.Endpoint.IsValid() || t.From.Node || t.From.Loopback || len(t.From.Addresses) > 0 {
		return
	}
	known := map[netip.Addr]bool{}
	for _, c := range g.Clients {
		known[c] = true
	}
	home := e.sites[0]
	if len(p.from) > 0 && p.from[0] != nil {
		home = p.from[0]
	}
	own := home.Host.IsLocalPod(p.probe)
	for a, n := g.Clients[len(g.Clients)-1].Next(), 0; n < 256; a, n = a.Next(), n+1 {
		if !known[a] && home.Host.IsLocalPod(a) == own && !home.Host.IsNode(a) && !e.taken(a) {
			p.probe = a
			return
		}
	}
}

// taken reports whether an address is an endpoint's.
func (e *engine) taken(a netip.Addr) bool {
	for k := range e.known {
		if k.at.Addr() == a {
			return true
		}
	}
	return false
}

func (e *engine) policyLocal(name string) bool {
	for i := range e.api.services {
		if s := &e.api.services[i]; s.Name.String() == name {
			return s.ExternalPolicy == service.PolicyLocal && s.Type != service.ClusterIP
		}
	}
	return false
}

// rebalance lets balancers know which nodes are up: those that are not known to be lost and, for a Service of policy Local, have
// a ready endpoint, as the health check node port tells.
func (e *engine) rebalance(now time.Duration) {
	for i, p := range e.plans {
		if p.balancer == nil {
			continue
		}
		up := e.upFor(p)
		if d := e.scenario.Spec.Traffic[i].To.Health.Duration; d > 0 && now > 0 {
			e.pending.Add(e.key(now+d), func(at time.Duration) error {
				p.up = up
				return e.newEpoch(at, nil)
			})
			continue
		}
		p.up = up
	}
}

func (e *engine) upFor(p *plan) []*site {
	var up []*site
	for _, st := range e.sites {
		if st.detected || p.local && !e.hasReady(p.service, st.Host.Name) {
			continue
		}
		up = append(up, st)
	}
	return up
}

func (e *engine) hasReady(name, node string) bool {
	for _, sl := range e.api.slices {
		if sl.Service.String() != name {
			continue
		}
		for _, x := range sl.Endpoints {
			if x.NodeName == node && x.Ready {
				return true
			}
		}
	}
	return false
}

// entry is the node that a connection comes to, and its destination; nil when the balancer knows of none.
func (e *engine) entry(f *traffic.Flow) (*site, netip.AddrPort) {
	p := e.plans[f.Group]
	st := p.fixed
	if st == nil {
		if c := p.from[f.ID%int64(len(p.from))]; c != nil && p.balancer == nil {
			st = c
		}
	}
	if st == nil && p.balancer != nil {
		if len(p.up) == 0 {
			return nil, f.Dst
		}
		st = p.up[p.balancer.Pick(f.ID, packet.Tuple{Proto: e.groups[f.Group].Proto, Src: f.Src, Dst: f.Dst}, len(p.up))]
	}
	if st == nil {
		st = e.sites[0]
	}
	return st, p.destination(st, f.Dst)
}

func (p *plan) destination(st *site, to netip.AddrPort) netip.AddrPort {
	if !p.nodePort {
		return to
	}
	for _, a := range st.Host.NodeIPs {
		if packet.FamilyOf(a) == packet.FamilyOf(to.Addr()) {
			return netip.AddrPortFrom(a, to.Port())
		}
	}
	return to
}

// weights are the parts of a traffic's connections that come to each node, by its index, as whole numbers.
func (p *plan) weights(n int) []int64 {
	w := make([]int64, n)
	switch {
	case p.fixed != nil:
		w[p.fixed.index] = 1
	case p.balancer != nil:
		for i, st := range p.up {
			num, den := p.balancer.Share(i, len(p.up))
			w[st.index] = num * (int64(len(p.up)) / den)
			if den == 1 && num == 1 {
				w[st.index] = 1
			}
		}
	default:
		for _, st := range p.from {
			if st != nil {
				w[st.index]++
			} else {
				w[0]++
			}
		}
	}
	return w
}

// podClients are Pods of a node that open connections.
func (s *Subject) podClients(sc *scenario.Scenario, t *scenario.Traffic, f packet.Family, n int) ([]netip.Addr, error) {
	for _, p := range s.Host.PodCIDRs {
		if packet.FamilyOf(p.Addr()) == f {
			return s.take(sc, t, p, n)
		}
	}
	return nil, sc.Errorf(t.From.At, "node %s has no Pod CIDR of family %s for its Pods", s.Host.Name, f)
}

// nodeNames lists the modelled nodes.
func (e *engine) nodeNames() string {
	var out []string
	for _, st := range e.sites {
		out = append(out, st.Host.Name)
	}
	return fmt.Sprint(strings.Join(out, ", "))
}
