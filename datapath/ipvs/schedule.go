package ipvs

import (
	"net/netip"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// flow is what schedulers know of a packet.
type flow struct {
	client, dst netip.AddrPort
}

// trySchedule finds the service of a packet without entry, if it may open a connection, and makes an entry to a server
// (ip_vs_proto_tcp.c, tcp_conn_schedule, and its like). Without an entry the result says what becomes of the packet.
func (t *Table) trySchedule(w *netfilter.Walk, p *packet.Packet) (*Conn, Result) {
	switch p.Proto {
	case packet.TCP:
		if p.TCPFlags.Has(packet.RST) || !p.TCPFlags.Has(packet.SYN) && !t.sysctl.SloppyTCP {
			return nil, Result{}
		}
	case packet.SCTP:
		if p.SCTPChunk != packet.SCTPInit && (!t.sysctl.SloppySCTP || p.SCTPChunk == packet.SCTPAbort) {
			return nil, Result{}
		}
	}
	w.Work.Lookups++
	s := t.lookup(p.Family(), p.Mark, p.Proto, p.Dst)
	if s == nil {
		return nil, Result{}
	}
	if p.Src.Port() == ftpDataPort {
		return nil, t.note(w, "left alone: source port 20 is FTP data", Result{})
	}
	// A local server's answer that is taken for a request (ip_vs_schedule).
	if (w.In == "" || w.In == "lo") && t.conns.in(p.Proto, p.Dst, p.Src) != nil {
		return nil, Result{}
	}
	var c *Conn
	why := "no server available"
	switch {
	case s.persistent():
		c = t.schedulePersistent(w, s, p)
	case s.Key.Mark == 0 && p.Dst.Port() != s.Key.Addr.Port():
		why = "a service without persistence serves its own port only"
	default:
		if d := t.pick(w, s, p); d != nil {
			c = t.open(w, s, p, d, d.Addr.Port() != 0, nil)
		}
	}
	if c == nil {
		return t.leave(w, s, p, why)
	}
	t.countConn(w.Journal, s, c)
	return c, Result{}
}

// open makes the entry of a packet; mapPort takes the server's port in place of the one the client asked for.
func (t *Table) open(w *netfilter.Walk, s *Service, p *packet.Packet, d *Destination, mapPort bool, ct *Conn) *Conn {
	port := p.Dst.Port()
	if mapPort {
		port = d.Addr.Port()
	}
	c := &Conn{Proto: p.Proto, Client: p.Src, Dest: d, Mark: p.Mark, OnePacket: s.OnePacket && p.Proto == packet.UDP}
	c.Virtual = p.Dst
	c.Server = netip.AddrPortFrom(d.Addr.Addr(), port)
	t.newConn(w.Journal, c)
	if ct != nil {
		t.control(w.Journal, c, ct)
	}
	return c
}

// schedulePersistent uses or makes the client's template (ip_vs_sched_persist). The scheduler runs only for a new template,
// and with the client's whole address.
func (t *Table) schedulePersistent(w *netfilter.Walk, s *Service, p *packet.Packet) *Conn {
	own := p.Dst.Port() == s.Key.Addr.Port()
	proto, client, virtual := p.Proto, netip.AddrPortFrom(s.mask(p.Src.Addr()), 0), netip.AddrPortFrom(p.Dst.Addr(), 0)
	switch {
	case s.Key.Mark != 0:
		own = p.Dst.Port() == 0
		proto, virtual = 0, netip.AddrPortFrom(markAddr(s.Key), 0)
	case own && s.Key.Addr.Port() != ftpPort:
		virtual = p.Dst
	}
	w.Work.Lookups++
	ct := t.conns.template(proto, client, virtual)
	if ct != nil && !t.templateValid(w, ct) {
		ct = nil
	}
	if ct == nil {
		d := t.pick(w, s, p)
		if d == nil {
			return nil
		}
		var port uint16
		if own && s.Key.Addr.Port() != ftpPort {
			port = d.Addr.Port()
		}
		ct = &Conn{Proto: proto, Client: client, Dest: d, Template: true, Mark: p.Mark}
		ct.Virtual = virtual
		ct.Server = netip.AddrPortFrom(d.Addr.Addr(), port)
		t.newConn(w.Journal, ct)
		ct.Timeout = s.Persistence
	} else if w.Trace != nil {
		t.note(w, "template of "+ct.Client.Addr().String()+" keeps "+ct.Server.String()+"; nothing is scheduled", Result{})
	}
	c := t.open(w, s, p, ct.Dest, own && ct.Dest.Addr.Port() != 0, ct)
	t.restart(w.Now, ct)
	return c
}

// markAddr is what stands for the virtual address in a mark's template: the mark, in network order.
func markAddr(k ServiceKey) netip.Addr {
	b := [16]byte{byte(k.Mark >> 24), byte(k.Mark >> 16), byte(k.Mark >> 8), byte(k.Mark)}
	if k.Family == packet.IPv6 {
		return netip.AddrFrom16(b)
	}
	return netip.AddrFrom4([4]byte(b[:4]))
}

const givenUpPort = 0xffff

// templateValid reports whether a template may be used; one that may not is moved to port 65535, where it ends by its timer
// (ip_vs_check_template).
func (t *Table) templateValid(w *netfilter.Walk, ct *Conn) bool {
	d := ct.Dest
	if d.Available && !(t.sysctl.ExpireQuiescentTemplate && d.Weight == 0) {
		return true
	}
	virtual, server := ct.Virtual, ct.Server
	if virtual.Port() == givenUpPort {
		return false
	}
	ct.Virtual, ct.Server = withPort(virtual, givenUpPort), withPort(server, givenUpPort)
	t.conns.front(ct)
	if w.Journal.On() {
		w.Journal.Add(func() { // its place among other clients' entries makes no difference
			ct.Virtual, ct.Server = virtual, server
		})
	}
	return false
}

func withPort(a netip.AddrPort, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr(), port)
}

// leave decides about a packet of a service for which nobody was picked (ip_vs_leave). With an entry it is sent on to where
// it wanted to go.
func (t *Table) leave(w *netfilter.Walk, s *Service, p *packet.Packet, why string) (*Conn, Result) {
	if t.sysctl.CacheBypass && s.Key.Mark != 0 && w.Route.AddrType(p.Dst.Addr(), "") == netfilter.Unicast {
		c := &Conn{Proto: p.Proto, Client: p.Src, Forward: Bypass, Mark: p.Mark, OnePacket: s.OnePacket && p.Proto == packet.UDP}
		c.Virtual = p.Dst
		c.Server = netip.AddrPortFrom(unspecified(p.Family()), 0)
		t.newConn(w.Journal, c)
		t.note(w, "no server: sent on to its own destination", Result{})
		return c, Result{}
	}
	if s.Key.Mark == 0 && s.Key.Addr.Port() == ftpPort && p.Dst.Port() != ftpPort {
		return nil, Result{}
	}
	return nil, t.refuse(w, p, why)
}

func unspecified(f packet.Family) netip.Addr {
	if f == packet.IPv6 {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}
