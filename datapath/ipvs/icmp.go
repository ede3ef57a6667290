package ipvs

import (
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// RequestICMP handles an ICMP error from a client's side about a reply (ip_vs_in_icmp): it goes to the server of the entry
// it is about. It is the hook of FORWARD at 99, and part of Request. Other ICMP is left alone.
func (t *Table) RequestICMP(w *netfilter.Walk, p *packet.Packet) Result {
	if p.Internal || !p.IsICMPError() || !p.Quoted.IsValid() {
		return Result{}
	}
	q := p.Quoted // as sent to the client: from the virtual address to the client's
	w.Work.Lookups++
	c := t.conns.in(q.Proto, q.Dst, q.Src)
	if c == nil {
		return Result{}
	}
	if c.Forward == Masquerade {
		q.Src = c.Server
	}
	t.saveConn(w.Journal, c)
	port := p.Dst.Port()
	r := t.transmit(w, p, c)
	r.Conntrack = Untrack
	if c.KeepConntrack {
		r.Conntrack = KeepConntrack
	}
	if c.Forward == Masquerade {
		p.Dst = withPort(c.Server, port)
		p.Quoted = q
	}
	return t.note(w, "ICMP error about a reply, to "+c.Server.String(), r)
}

// replyICMP handles an ICMP error from a server's side about a request (ip_vs_out_icmp): the client is told in terms of the
// virtual address.
func (t *Table) replyICMP(w *netfilter.Walk, p *packet.Packet) Result {
	if !p.IsICMPError() || !p.Quoted.IsValid() {
		return Result{}
	}
	q := p.Quoted // as sent to the server: from the client to the server's address
	w.Work.Lookups++
	c := t.conns.out(q.Proto, q.Src, q.Dst)
	if c == nil || c.Forward != Masquerade {
		return Result{}
	}
	p.Src = withPort(c.Virtual, p.Src.Port())
	q.Dst = c.Virtual
	p.Quoted = q
	p.Internal = true
	r := Result{Conn: c, Method: c.Forward, Conntrack: Untrack}
	if c.KeepConntrack {
		r.Conntrack = KeepConntrack
	}
	return t.note(w, "ICMP error about a request to "+c.Server.String(), r)
}
