package run

import (
	"math/big"
	"net/netip"
	"slices"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/share"
	"github.com/svclab/svclab/sim/dns"
	"github.com/svclab/svclab/sim/netstack"
	"github.com/svclab/svclab/sim/replay"
	"github.com/svclab/svclab/sim/scenario"
)

// listening is what serves an address and port.
type listening struct {
	host *netstack.Host
	tcp  bool // a plain TCP server; else messages
}

// shareKey is a server that an endpoint's ports share.
type shareKey struct {
	addr    netip.Addr
	service string
}

// linkKind tells wires apart.
type linkKind uint8

const (
	linkPods linkKind = iota
	linkEndpoints
	linkOutside
)

// defaultDelay is how long a wire takes of which the scenario says nothing: about what a veth pair and a softirq cost.
const defaultDelay = 10 * time.Microsecond

// link is the wire of a host.
func (w *stackWorld) link(a netip.Addr, kind linkKind) netstack.Link {
	out := netstack.Link{Delay: defaultDelay}
	l := w.scenario.Spec.Links
	if l == nil {
		return out
	}
	x := l.Pods
	switch {
	case kind == linkEndpoints && l.Endpoints != nil:
		x = l.Endpoints
	case kind == linkOutside:
		x = l.Outside
	}
	for i := range l.Hosts {
		if l.Hosts[i].Address.Addr == a {
			x = &l.Hosts[i].Link
		}
	}
	if x != nil {
		out = linkOf(x, defaultDelay)
	}
	return out
}

// linkOf is a wire as the scenario describes it.
func linkOf(x *scenario.Link, delay time.Duration) netstack.Link {
	out := netstack.Link{Delay: delay}
	if x.Delay.Duration > 0 {
		out.Delay = x.Delay.Duration
	}
	out.Jitter, out.BitsPerSecond, out.MTU = x.Jitter.Duration, int64(x.Bandwidth), x.MTU
	if x.Loss.Rat != nil {
		out.Loss, _ = x.Loss.Float64()
	}
	return out
}

// host is the host with an address: a node's own, a Pod of a modelled node, or a machine beyond them.
func (w *stackWorld) host(a netip.Addr, kind linkKind) *netstack.Host {
	if h := w.hosts[a]; h != nil {
		return h
	}
	st := w.siteOf(a)
	if st != nil && st.Host.IsNode(a) {
		return w.nodes[st].Host()
	}
	var at *netstack.Node
	if st != nil {
		at = w.nodes[st]
	} else {
		kind = linkOutside
	}
	l := w.link(a, kind)
	h := w.fabric.AddHost(at, &l, a)
	w.hosts[a] = h
	return h
}

// client is the host that opens a connection which comes to a node.
func (w *stackWorld) client(a netip.Addr, st *site) *netstack.Host {
	if a.IsLoopback() {
		return w.nodes[st].Host()
	}
	return w.host(a, linkPods)
}

// outsiders are the machines that names stand for.
func (w *stackWorld) outsiders() error {
	if w.naming == nil {
		return nil
	}
	var all []netip.Addr
	for a := range w.naming.outside {
		all = append(all, a)
	}
	slices.SortFunc(all, netip.Addr.Compare)
	for _, a := range all {
		h := w.host(a, linkOutside)
		ports := w.naming.outside[a]
		if len(ports) == 0 {
			for i := range w.groups {
				ports = append(ports, int(w.groups[i].To.Port()))
			}
			slices.Sort(ports)
			ports = slices.Compact(ports)
		}
		for _, p := range ports {
			for _, proto := range []packet.Protocol{packet.TCP, packet.UDP} {
				if err := w.listen(h, target{netip.AddrPortFrom(a, uint16(p)), proto}, nil); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// endpointsOfDump finds where rules that came without their cluster send the traffic: something answers there.
func (w *stackWorld) endpointsOfDump() error {
	for i := range w.groups {
		g := &w.groups[i]
		st := w.engine.sites[0] // a dump is one node
		src := netip.AddrPortFrom(w.plans[i].probe, 1024)
		out, err := share.Of(st.Node, 0, st.ingress(src.Addr()), replay.FirstPacket(g.Proto, src, g.To))
		if err != nil {
			return err
		}
		for _, o := range out {
			at := o.Endpoint
			if !at.IsValid() {
				at = g.To
			}
			if o.Fate == datapath.Forwarded || o.Fate == datapath.Delivered {
				w.given[target{at, g.Proto}] = true
			}
		}
	}
	return nil
}

// alter lets endpoints that came listen and switches off those that went. A Pod that is gone answers nothing any more; a node that
// is lost neither.
func (w *stackWorld) alter(time.Duration) error {
	service := map[target]string{}
	for _, sl := range w.api.slices {
		for _, p := range sl.Ports {
			for _, x := range sl.Endpoints {
				for _, a := range x.Addresses {
					service[target{netip.AddrPortFrom(a, p.Port), p.Protocol}] = sl.Service.String()
				}
			}
		}
	}
	w.services = service
	here := map[target]bool{}
	for k, is := range w.known {
		here[k] = is
	}
	for k := range w.given {
		here[k] = true
	}
	var all []target
	for k := range here {
		if k.at.Port() != 0 && k.proto != packet.SCTP {
			all = append(all, k)
		}
	}
	slices.SortFunc(all, target.compare)
	on := map[netip.Addr]bool{}
	for _, k := range all {
		if here[k] && !w.dead[k.at.Addr()] {
			on[k.at.Addr()] = true
		}
		if w.isHostPort(k.at.Port()) && w.isNode(k.at.Addr()) {
			continue // the node listens there as it is
		}
		there := here[k] && !(w.dead[k.at.Addr()] && w.hosts[k.at.Addr()] == nil && w.isNode(k.at.Addr())) // a node goes on without it
		switch l, open := w.served[k]; {
		case there && !open:
			if err := w.listen(w.host(k.at.Addr(), linkEndpoints), k, w.serverOf(k.at.Addr(), service[k])); err != nil {
				return err
			}
		case !there && open:
			w.unlisten(k, l)
		}
	}
	for _, k := range all {
		a := k.at.Addr()
		if h := w.hosts[a]; h == nil {
			continue
		} else if on[a] {
			h.On()
		} else {
			h.Off()
		}
	}
	for _, st := range w.engine.sites {
		if st.lost {
			w.nodes[st].Host().Off()
		}
	}
	return nil
}

// isNode reports whether an address is a modelled node's own.
func (w *stackWorld) isNode(a netip.Addr) bool {
	st := w.siteOf(a)
	return st != nil && st.Host.IsNode(a)
}

func (t target) compare(u target) int {
	if c := t.at.Compare(u.at); c != 0 {
		return c
	}
	return int(t.proto) - int(u.proto)
}

// stray lets an endpoint follow its next answer by a segment out of the window, if chance has it.
func (w *stackWorld) stray(fl *stackFlow) {
	v := w.serverOf(fl.endpoint.Addr(), w.services[target{fl.endpoint, fl.proto}])
	if v == nil || v.Strays.Rat == nil || v.Strays.Sign() == 0 {
		return
	}
	w.straying.At(fl.key)
	if p31 := new(big.Int).Mul(v.Strays.Num(), big.NewInt(1<<31)); w.straying.Chance(uint32(p31.Quo(p31, v.Strays.Denom()).Uint64())) {
		w.host(fl.endpoint.Addr(), linkEndpoints).Stray(fl.number)
	}
}

// serverOf is how the endpoints of a Service answer; nil: at once.
func (w *stackWorld) serverOf(a netip.Addr, of string) *scenario.Server {
	var found *scenario.Server
	for i := range w.scenario.Spec.Servers {
		v := &w.scenario.Spec.Servers[i]
		if v.Service.Value == of && (!v.Endpoint.IsValid() && found == nil || v.Endpoint.Addr == a) {
			found = v
		}
	}
	return found
}

// serviceTime is the distribution of a server's times.
func serviceTime(v *scenario.Server) netstack.Service {
	out := netstack.Service{Mean: v.Time.Duration}
	switch v.Distribution {
	case "uniform":
		out.Kind = netstack.Uniform
	case "exponential":
		out.Kind = netstack.Exponential
	case "lognormal":
		out.Kind, out.Sigma = netstack.LogNormal, 1
	}
	return out
}

// listen starts what answers at an address and port.
func (w *stackWorld) listen(h *netstack.Host, k target, v *scenario.Server) error {
	named := w.naming != nil && w.naming.servers[k.at.Addr()] && k.at.Port() == 53
	if k.proto == packet.TCP && !named {
		s := &netstack.Server{Reply: replyBytes, Full: netstack.ResetRequest}
		if v != nil {
			at := shareKey{k.at.Addr(), v.Service.Value}
			if w.shared[at] != nil {
				s = w.shared[at]
			}
			s.Workers, s.Queue, s.Service = v.Workers, v.Queue, serviceTime(v)
			w.shared[at] = s
		}
		w.served[k] = listening{h, true}
		return h.Listen(k.proto, k.at, s)
	}
	s := &netstack.MessageServer{Answer: func(proto packet.Protocol, m []byte) []byte {
		if proto == packet.UDP {
			if a, ok := echo(m); ok {
				return a
			}
		}
		t := dns.UDP
		if proto == packet.TCP {
			t = dns.TCP
		}
		return w.answer(k.at.Addr(), t, m)
	}}
	if v != nil {
		s.Workers, s.Queue, s.Service = v.Workers, v.Queue, serviceTime(v)
	}
	w.served[k] = listening{h, false}
	return h.ListenMessages(k.proto, k.at, s)
}

func (w *stackWorld) unlisten(k target, l listening) {
	if l.tcp {
		l.host.Unlisten(k.proto, k.at)
	} else {
		l.host.UnlistenMessages(k.proto, k.at)
	}
	delete(w.served, k)
}
