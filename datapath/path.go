package datapath

import (
	"net/netip"

	"github.com/svclab/svclab/datapath/conntrack"
	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// function is one entry of a hook: what runs, at which priority, and who registers it. The lists below are the order of the
// kernel; the design of the datapath is in them and nowhere else.
type function struct {
	priority netfilter.Priority
	run      func(*Node, *packet.Packet) netfilter.Verdict
	by       registrar
}

// registrar says what must be there for a function to be at its hook.
type registrar uint8

const (
	byTable     registrar = iota // the iptables table of this priority, once it is loaded
	byConntrack                  // connection tracking, while rules need it
	byIPVS                       // always, and idle without virtual services
)

// path lists, for each hook, its functions by ascending priority (include/uapi/linux/netfilter_ipv4.h, NF_IP_PRI_*).
var path [netfilter.NumHooks][]function

func init() {
	path = [netfilter.NumHooks][]function{
		netfilter.PreRouting: {
			{netfilter.PriorityRaw, (*Node).raw, byTable},
			{netfilter.PriorityConntrack, (*Node).track, byConntrack},
			{netfilter.PriorityMangle, (*Node).mangle, byTable},
			{netfilter.PriorityNATDestination, (*Node).natDestination, byConntrack},
		},
		netfilter.Input: {
			{netfilter.PriorityMangle, (*Node).mangle, byTable},
			{netfilter.PriorityFilter, (*Node).filter, byTable},
			{netfilter.PriorityIPVSReplyInput, (*Node).ipvsReply, byIPVS},
			{netfilter.PriorityIPVSRequestInput, (*Node).ipvsRequest, byIPVS},
			{netfilter.PriorityNATSource, (*Node).natSource, byConntrack},
			{netfilter.PriorityConfirm, (*Node).confirm, byConntrack},
		},
		netfilter.Forward: {
			{netfilter.PriorityMangle, (*Node).mangle, byTable},
			{netfilter.PriorityFilter, (*Node).filter, byTable},
			{netfilter.PriorityIPVSICMPForward, (*Node).ipvsForwardICMP, byIPVS},
			{netfilter.PriorityIPVSReplyForward, (*Node).ipvsReply, byIPVS},
		},
		netfilter.Output: {
			{netfilter.PriorityRaw, (*Node).raw, byTable},
			{netfilter.PriorityConntrack, (*Node).track, byConntrack},
			{netfilter.PriorityMangle, (*Node).mangle, byTable},
			{netfilter.PriorityNATDestination, (*Node).natDestination, byConntrack},
			{netfilter.PriorityIPVSReplyOutput, (*Node).ipvsReply, byIPVS},
			{netfilter.PriorityIPVSRequestOutput, (*Node).ipvsRequest, byIPVS},
			{netfilter.PriorityFilter, (*Node).filter, byTable},
		},
		netfilter.PostRouting: {
			{netfilter.PriorityMangle, (*Node).mangle, byTable},
			{netfilter.PriorityNATSource, (*Node).natSource, byConntrack},
			{netfilter.PriorityConfirm, (*Node).confirm, byConntrack},
		},
	}
}

// tableOf is the table whose functions stand at a priority.
var tableOf = map[netfilter.Priority]iptables.TableID{
	netfilter.PriorityRaw: iptables.Raw, netfilter.PriorityMangle: iptables.Mangle, netfilter.PriorityFilter: iptables.Filter,
}

// register puts the functions at a family's hooks that its rules bring with them.
func (f *family) register() {
	for h := range path {
		f.path[h] = f.path[h][:0]
		for _, fn := range path[h] {
			if fn.by == byTable && !f.linked.HasHook(tableOf[fn.priority], netfilter.Hook(h)) || fn.by == byConntrack && !f.tracking {
				continue
			}
			f.path[h] = append(f.path[h], fn.run)
		}
	}
}

// hook runs the functions of one hook until one ends the packet.
func (n *Node) hook(h netfilter.Hook, p *packet.Packet) netfilter.Verdict {
	n.walk.Hook = h
	n.walk.Trace.Enter(&n.walk, p)
	for _, run := range n.family(p.Family()).path[h] {
		if v := run(n, p); v != netfilter.Accept && v != netfilter.Continue {
			return v
		}
	}
	return netfilter.Accept
}

// arrive is the path of a packet from an interface: PREROUTING, the routing decision, then INPUT or FORWARD and POSTROUTING
// (net/ipv4/ip_input.c, ip_rcv; net/ipv4/ip_forward.c).
func (n *Node) arrive(p *packet.Packet, d *Disposition) {
	if v := n.hook(netfilter.PreRouting, p); v != netfilter.Accept {
		n.ended(v, p, d)
		return
	}
	if reason := n.martian(p); reason != "" {
		d.Reason = reason
		return
	}
	out, local, typ := n.Routes.Lookup(p.Dst.Addr())
	n.noteRoute(out, local)
	if local {
		n.deliver(p, d)
		return
	}
	switch typ {
	case netfilter.Unspecified, netfilter.Unreachable, netfilter.Prohibit, netfilter.Blackhole:
		d.Reason = "no route to the destination"
		return
	}
	if !n.Profile.IPForward {
		d.Reason = "forwarding is off"
		return
	}
	if p.TTL == 1 {
		d.Reason = "time to live exceeded"
		return
	}
	if p.TTL > 1 {
		p.TTL--
	}
	n.walk.Out = out
	if v := n.hook(netfilter.Forward, p); v != netfilter.Accept {
		n.ended(v, p, d)
		return
	}
	n.leave(p, d)
}

// deliver is the end of the path of a packet for this host.
func (n *Node) deliver(p *packet.Packet, d *Disposition) {
	if v := n.hook(netfilter.Input, p); v != netfilter.Accept {
		n.ended(v, p, d)
		return
	}
	d.Fate = Delivered
}

// leave is POSTROUTING and the interface.
func (n *Node) leave(p *packet.Packet, d *Disposition) {
	if v := n.hook(netfilter.PostRouting, p); v != netfilter.Accept {
		n.ended(v, p, d)
		return
	}
	d.Fate, d.Out = Forwarded, n.walk.Out
}

// depart is the path of a packet that a local socket sends: routed, OUTPUT, routed again if its destination changed,
// POSTROUTING, and back in by lo when it is for this host (net/ipv4/netfilter.c, ip_route_me_harder).
func (n *Node) depart(p *packet.Packet, d *Disposition) {
	w := &n.walk
	w.Hook = netfilter.Output
	out, local, _ := n.Routes.Lookup(p.Dst.Addr())
	n.noteRoute(out, local)
	if out == "" && !local {
		d.Reason = "no route to the destination"
		return
	}
	w.Out = out
	before := p.Dst.Addr()
	if v := n.hook(netfilter.Output, p); v != netfilter.Accept {
		n.ended(v, p, d)
		return
	}
	if p.Dst.Addr() != before {
		out, local, _ = n.Routes.Lookup(p.Dst.Addr())
		n.noteRoute(out, local)
		if out == "" && !local {
			d.Reason = "no route to the destination"
			return
		}
		w.Out = out
	}
	if !local && n.isBoundLoopback(p.Src.Addr()) {
		d.Reason = "loopback source may not leave the host without route_localnet"
		return
	}
	n.leave(p, d)
	if d.Fate != Forwarded || !local {
		return
	}
	*d = Disposition{}
	w.In, w.Out = "lo", ""
	if v := n.hook(netfilter.PreRouting, p); v != netfilter.Accept {
		n.ended(v, p, d)
		return
	}
	n.deliver(p, d)
}

// martian says why the routing code refuses a packet's source (net/ipv4/fib_frontend.c, __fib_validate_source): a loopback
// source from outside unless route_localnet is set, a loopback destination likewise, or one of the node's own addresses.
func (n *Node) martian(p *packet.Packet) string {
	if n.walk.In == "lo" {
		return ""
	}
	switch {
	case n.isBoundLoopback(p.Src.Addr()):
		return "martian source: loopback address from an interface"
	case n.isBoundLoopback(p.Dst.Addr()):
		return "martian destination: loopback address from an interface"
	case p.Src.Addr().Is4() && !p.Src.Addr().IsLoopback() && n.Routes.IsLocal(p.Src.Addr()):
		return "martian source: an address of this node"
	}
	return ""
}

// isBoundLoopback reports whether an address may not cross interfaces: 127.0.0.0/8 without route_localnet, and ::1.
func (n *Node) isBoundLoopback(a netip.Addr) bool {
	return a.IsLoopback() && (a.Is6() || !n.Profile.RouteLocalnet)
}

// ended turns a verdict that stopped a hook into a disposition: a rejected packet is answered, one that IPVS took over goes on.
func (n *Node) ended(v netfilter.Verdict, p *packet.Packet, d *Disposition) {
	switch v {
	case netfilter.Stolen:
		n.reinject(p, d)
	case netfilter.Reject:
		if a := n.reject(p); a != nil {
			d.Fate, d.Answer = Rejected, a
		}
	}
}

func (n *Node) noteRoute(out string, local bool) {
	w := &n.walk
	if w.Trace == nil {
		return
	}
	r := "no route"
	switch {
	case local:
		r = "local"
	case out != "":
		r = "by " + out
	}
	w.Trace.Add(netfilter.Step{Hook: w.Hook, Kind: netfilter.StepRoute, Result: r})
}

func (n *Node) table(t iptables.TableID, p *packet.Packet) netfilter.Verdict {
	return n.family(p.Family()).linked.Run(&n.walk, t, n.walk.Hook, p)
}

func (n *Node) raw(p *packet.Packet) netfilter.Verdict    { return n.table(iptables.Raw, p) }
func (n *Node) mangle(p *packet.Packet) netfilter.Verdict { return n.table(iptables.Mangle, p) }
func (n *Node) filter(p *packet.Packet) netfilter.Verdict { return n.table(iptables.Filter, p) }

// track finds or makes the packet's connection (net/netfilter/nf_conntrack_core.c, nf_conntrack_in). A packet that a rule
// marked untracked stays so; one that came back in by lo keeps the connection it has.
func (n *Node) track(p *packet.Packet) netfilter.Verdict {
	w := &n.walk
	if w.Conn != nil || w.NoTrack || !n.family(p.Family()).tracking {
		return netfilter.Accept
	}
	w.Work.Lookups++
	c, info, ok := n.Conns.In(w.Now, p, w.Journal)
	if !ok {
		if w.Trace != nil {
			w.Trace.Add(netfilter.Step{Hook: w.Hook, Kind: netfilter.StepConntrack, Result: "dropped: the table is full"})
		}
		return netfilter.Drop
	}
	w.Conn, w.Info = c, info
	if w.Trace != nil {
		w.Trace.Add(netfilter.Step{Hook: w.Hook, Kind: netfilter.StepConntrack, Result: info.String()})
	}
	return netfilter.Accept
}

// confirm makes the packet's new connection visible to others (nf_conntrack_confirm).
func (n *Node) confirm(p *packet.Packet) netfilter.Verdict {
	w := &n.walk
	if w.Conn == nil || w.Conn.Status.Has(conntrack.Confirmed) || w.Info.IsReply() {
		return netfilter.Accept
	}
	if n.between != nil {
		n.interleave()
	}
	r := n.Conns.Confirm(w.Now, w.Conn, w.Info, p, w.Journal)
	w.Conn = r.Conn
	if r.Outcome == conntrack.Dropped {
		if w.Trace != nil {
			w.Trace.Add(netfilter.Step{Hook: w.Hook, Kind: netfilter.StepConntrack, Result: r.Outcome.String()})
		}
		return netfilter.Drop
	}
	return netfilter.Accept
}

func (n *Node) natDestination(p *packet.Packet) netfilter.Verdict {
	return n.nat(conntrack.ManipDestination, p)
}

func (n *Node) natSource(p *packet.Packet) netfilter.Verdict {
	return n.nat(conntrack.ManipSource, p)
}

// nat is one hook of the nat table: the rules see a connection's first packet, all packets are translated from its entry
// (net/netfilter/nf_nat_core.c, nf_nat_inet_fn).
func (n *Node) nat(m conntrack.Manip, p *packet.Packet) netfilter.Verdict {
	w := &n.walk
	c := w.Conn
	if c == nil {
		return netfilter.Accept
	}
	info := w.Info
	if (info == conntrack.Related || info == conntrack.RelatedReply) && p.Proto != packet.ICMP && p.Proto != packet.ICMPv6 {
		info = conntrack.New // a RST of our own for a connection whose first packet was rejected: the rules are asked
	}
	if c.NeedsNAT(m, info) {
		if v := n.table(iptables.NAT, p); v != netfilter.Accept {
			return v
		}
		if c.NeedsNAT(m, info) && !c.SetupNAT(w.Now, m, conntrack.Range{}, w.Ports(), w.Journal) {
			return netfilter.Drop
		}
	}
	if w.Trace == nil {
		c.Translate(m, w.Info, p)
		return netfilter.Accept
	}
	src, dst := p.Src, p.Dst
	c.Translate(m, w.Info, p)
	if p.Src != src || p.Dst != dst {
		r := "source to " + p.Src.String()
		if p.Dst != dst {
			r = "destination to " + p.Dst.String()
		}
		w.Trace.Add(netfilter.Step{Hook: w.Hook, Kind: netfilter.StepNAT, Table: "nat", Result: r, Matched: true})
	}
	return netfilter.Accept
}
