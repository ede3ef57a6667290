package ipvs

import (
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath/conntrack"
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// Result says what became of a packet at an IPVS hook and what the node has to do next:
//
//	Continue  Go on with the next function of the hook; the packet may have been rewritten (a reply, or a request whose
//	          server is this host) and then is marked Internal.
//	Stolen    The packet was taken over: it is marked Internal and rewritten if masqueraded. The node finishes conntrack as
//	          Conntrack says, routes by NextHop, and walks OUTPUT from its beginning and POSTROUTING; with Encapsulate the
//	          packet that does so is an outer one to NextHop.
//	Reject    No server: the client gets Walk.Rejection, port unreachable also for TCP.
//	Drop      Silence.
type Result struct {
	Verdict     netfilter.Verdict
	Conn        *Conn // the entry used, nil when there is none
	Method      Forward
	NextHop     netip.Addr // address to route by
	Encapsulate bool
	Conntrack   ConntrackAction
	// ReplySource is, for AlterReply, where replies will come from.
	ReplySource netip.AddrPort
}

// ConntrackAction is what happens to the packet's conntrack entry.
type ConntrackAction uint8

// The actions. The zero value leaves it alone.
const (
	KeepConntrack ConntrackAction = iota
	// Untrack: the node lets go of Walk.Conn (releasing an unconfirmed one) and goes on with the packet untracked, as
	// conntrack=0 wants (ip_vs_xmit.c, ip_vs_notrack).
	Untrack
	// AlterReply: the source of the unconfirmed entry's reply tuple becomes ReplySource (ip_vs_nfct.c,
	// ip_vs_update_conntrack).
	AlterReply
)

// Request is the hook of packets from clients: INPUT at 99, OUTPUT at -98 (net/netfilter/ipvs/ip_vs_core.c, ip_vs_in_hook).
func (t *Table) Request(w *netfilter.Walk, p *packet.Packet) Result {
	if p.Internal || len(t.conns.heap) == 0 && len(t.list) == 0 || p.Type != packet.ToHost && w.Hook != netfilter.Output {
		return Result{}
	}
	t.now = max(t.now, w.Now)
	if p.Proto == packet.ICMP || p.Proto == packet.ICMPv6 {
		return t.RequestICMP(w, p)
	}
	if !p.Proto.HasPorts() || p.IsLaterFragment() {
		return Result{}
	}
	w.Work.Lookups++
	c := t.conns.in(p.Proto, p.Src, p.Dst)
	if c != nil && opens(p) {
		if dropped := t.reuse(w, &c); dropped {
			return t.note(w, "dropped: its connection-tracking entry belongs to the entry before", Result{Verdict: netfilter.Drop, Conn: c})
		}
	}
	if c != nil && c.Dest != nil && !c.Dest.Available {
		if !t.sysctl.ExpireNodestConn {
			return t.note(w, "dropped: its server is gone", Result{Verdict: netfilter.Drop, Conn: c})
		}
		old := t.usesOldConntrack(w, c)
		t.saveConn(w.Journal, c)
		t.expireNow(w.Now, c)
		if old {
			return t.note(w, "dropped: its server is gone", Result{Verdict: netfilter.Drop, Conn: c})
		}
		c.KeepConntrack = false
		c = nil
	}
	if c == nil {
		var r Result
		if c, r = t.trySchedule(w, p); c == nil {
			return r
		}
	} else if w.Trace != nil {
		t.note(w, "entry to "+c.Server.String()+" "+c.StateName(), Result{})
	}
	t.saveConn(w.Journal, c)
	saveDest(w.Journal, c.Dest)
	t.countIn(w.Journal, c, p)
	t.advance(w.Journal, c, fromClient, p)
	r := t.transmit(w, p, c)
	c.Packets++
	if c.OnePacket {
		if ct := c.Control; ct != nil {
			t.saveConn(w.Journal, ct)
			ct.controls--
		}
		unbind(c)
		return r
	}
	t.restart(w.Now, c)
	return r
}

// opens reports whether a packet asks for a new connection (is_new_conn).
func opens(p *packet.Packet) bool {
	switch p.Proto {
	case packet.TCP:
		return p.TCPFlags.Has(packet.SYN)
	case packet.SCTP:
		return p.SCTPChunk == packet.SCTPInit
	}
	return false
}

// usesOldConntrack reports whether a packet was matched to a confirmed conntrack entry that IPVS altered for this entry
// (ip_vs_conn_uses_old_conntrack). Before Linux 5.9 any entry counted, a new one too (ip_vs_conn_uses_conntrack).
func (t *Table) usesOldConntrack(w *netfilter.Walk, c *Conn) bool {
	return c.KeepConntrack && w.Conn != nil && (t.sysctl.ReuseDropsNew || w.Conn.Status.Has(conntrack.Confirmed))
}

// reuse decides whether a packet that opens a connection leaves the entry it hit: then c becomes nil and the old entry ends
// at the next tick, or, with an old conntrack entry in the way, the packet is dropped.
func (t *Table) reuse(w *netfilter.Walk, cp **Conn) (dropped bool) {
	c := *cp
	var resched, old bool
	switch {
	case t.sysctl.ExpireNodestConn && c.Dest != nil && c.Dest.Weight == 0:
		resched, old = true, t.usesOldConntrack(w, c)
	case t.sysctl.ConnReuseMode != 0 && t.newExpected(c):
		old = t.usesOldConntrack(w, c)
		resched = c.controls == 0 || !old
	}
	if !resched {
		return false
	}
	t.saveConn(w.Journal, c)
	if !old {
		c.KeepConntrack = false
	}
	if c.controls == 0 {
		t.expireNow(w.Now, c)
	}
	if old {
		return true
	}
	*cp = nil
	return false
}

// newExpected reports whether an entry is in a state in which the client may start over (is_new_conn_expected).
func (t *Table) newExpected(c *Conn) bool {
	if c.Control != nil {
		return false
	}
	switch c.Proto {
	case packet.TCP:
		return c.State == tcpTimeWait || c.State == tcpClose ||
			t.sysctl.ConnReuseMode&2 != 0 && c.State == tcpFinWait && c.NoOutput
	case packet.SCTP:
		return c.State == sctpClosed
	}
	return false
}

// transmit sends a request on its way by the entry's method (ip_vs_xmit.c, ip_vs_nat_xmit, ip_vs_dr_xmit, ip_vs_tunnel_xmit,
// ip_vs_bypass_xmit, ip_vs_null_xmit).
func (t *Table) transmit(w *netfilter.Walk, p *packet.Packet, c *Conn) Result {
	r := Result{Verdict: netfilter.Stolen, Conn: c, Method: c.Forward, NextHop: c.Server.Addr()}
	if !c.KeepConntrack {
		r.Conntrack = Untrack
	}
	local := false
	switch c.Forward {
	case LocalNode:
		r.Verdict, r.Conntrack = netfilter.Continue, KeepConntrack
		return r
	case Bypass:
		r.NextHop = p.Dst.Addr()
	default:
		local = w.Route.AddrType(c.Server.Addr(), "") == netfilter.Local
	}
	if c.Forward == Masquerade {
		p.Dst = c.Server
		if c.KeepConntrack && w.Conn != nil && !w.Conn.Status.Has(conntrack.Confirmed) && !c.OnePacket && !w.Info.IsReply() {
			r.Conntrack, r.ReplySource = AlterReply, c.Server
		}
	}
	p.Internal = true
	if local {
		r.Verdict = netfilter.Continue
		return r
	}
	r.Encapsulate = c.Forward == Tunnel
	return r
}

// Reply is the hook of packets from servers: FORWARD at 100, INPUT at 98, OUTPUT at -99 (ip_vs_out_hook). The source becomes
// the virtual address.
func (t *Table) Reply(w *netfilter.Walk, p *packet.Packet) Result {
	if p.Internal || len(t.conns.heap) == 0 && len(t.list) == 0 {
		return Result{}
	}
	t.now = max(t.now, w.Now)
	if p.Proto == packet.ICMP || p.Proto == packet.ICMPv6 {
		return t.replyICMP(w, p)
	}
	if !p.Proto.HasPorts() || p.IsLaterFragment() {
		return Result{}
	}
	w.Work.Lookups++
	c := t.conns.out(p.Proto, p.Dst, p.Src)
	if c == nil {
		if t.sysctl.NATICMPSend && t.isServer(p.Proto, p.Src) && (p.Proto != packet.TCP || !p.TCPFlags.Has(packet.RST)) {
			return t.refuse(w, p, "a server's reply without an entry")
		}
		return Result{}
	}
	t.saveConn(w.Journal, c)
	saveDest(w.Journal, c.Dest)
	r := Result{Conn: c, Method: c.Forward}
	if c.Forward == Masquerade {
		p.Src = c.Virtual
	}
	t.countOut(w.Journal, c, p)
	t.advance(w.Journal, c, fromServer, p)
	p.Internal = true
	if !c.KeepConntrack {
		r.Conntrack = Untrack
	}
	t.restart(w.Now, c)
	if w.Trace != nil {
		t.note(w, "reply of "+c.Server.String()+", source to "+p.Src.String()+", "+c.StateName(), r)
	}
	return r
}

// isServer reports whether an address is a server of some service of the protocol, or of a mark's (ip_vs_has_real_service).
func (t *Table) isServer(proto packet.Protocol, a netip.AddrPort) bool {
	for _, s := range t.list {
		if s.Key.Mark == 0 && s.Key.Proto != proto {
			continue
		}
		for d := s.first(); d != nil; d = s.after(d) {
			if d.Addr == a && d.Forward == Masquerade {
				return true
			}
		}
	}
	return false
}

// Handled reports whether IPVS has dealt with a packet, as -m ipvs asks.
func (t *Table) Handled(p *packet.Packet) bool { return p.Internal }

// Entry describes the entry of a request that IPVS has dealt with, as -m ipvs looks it up: by the packet as it goes on to
// the server (ip_vs_proto.h, conn_out_get of an inverted header).
func (t *Table) Entry(p *packet.Packet) (netfilter.IPVSEntry, bool) {
	c := t.conns.out(p.Proto, p.Src, p.Dst)
	if c == nil {
		return netfilter.IPVSEntry{}, false
	}
	e := netfilter.IPVSEntry{Virtual: c.Virtual, Method: netfilter.IPVSMasquerade}
	switch c.Forward {
	case DirectRoute:
		e.Method = netfilter.IPVSGate
	case Tunnel:
		e.Method = netfilter.IPVSTunnel
	case LocalNode, Bypass:
		e.Method = netfilter.IPVSOther
	}
	if c.Control != nil {
		e.Control = c.Control.Virtual
	}
	return e, true
}

// refuse tells the sender that nobody serves the port.
func (t *Table) refuse(w *netfilter.Walk, p *packet.Packet, why string) Result {
	w.Rejection.With = "icmp-port-unreachable"
	if p.Family() == packet.IPv6 {
		w.Rejection.With = "icmp6-port-unreachable"
	}
	return t.note(w, "refused with "+w.Rejection.With+": "+why, Result{Verdict: netfilter.Reject})
}

func (t *Table) note(w *netfilter.Walk, text string, r Result) Result {
	if w.Trace != nil {
		w.Trace.Add(netfilter.Step{Hook: w.Hook, Kind: netfilter.StepIPVS, Result: text, Matched: true})
	}
	return r
}

// Left is the time until an entry ends, as the expire column shows it in whole seconds.
func (c *Conn) Left(now time.Duration) time.Duration { return max(0, c.Expires-now) }
