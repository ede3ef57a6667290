package datapath

import (
	"github.com/svclab/svclab/datapath/conntrack"
	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// ipvsRequest is the hook of packets from clients to virtual services.
func (n *Node) ipvsRequest(p *packet.Packet) netfilter.Verdict {
	if n.IPVS.Idle() {
		return netfilter.Continue
	}
	return n.ipvsResult(n.IPVS.Request(&n.walk, p))
}

// ipvsReply is the hook of packets from servers.
func (n *Node) ipvsReply(p *packet.Packet) netfilter.Verdict {
	if n.IPVS.Idle() {
		return netfilter.Continue
	}
	return n.ipvsResult(n.IPVS.Reply(&n.walk, p))
}

// ipvsForwardICMP lets IPVS see ICMP errors that are forwarded (net/netfilter/ipvs/ip_vs_core.c, ip_vs_forward_icmp).
func (n *Node) ipvsForwardICMP(p *packet.Packet) netfilter.Verdict {
	if p.Proto != packet.ICMP && p.Proto != packet.ICMPv6 {
		return netfilter.Accept
	}
	return n.ipvsResult(n.IPVS.RequestICMP(&n.walk, p))
}

// ipvsResult does what IPVS asks of connection tracking, and keeps a packet that it took over for reinject.
func (n *Node) ipvsResult(r ipvs.Result) netfilter.Verdict {
	w := &n.walk
	switch r.Conntrack {
	case ipvs.Untrack:
		if w.Conn != nil && !w.Conn.Status.Has(conntrack.Confirmed) {
			n.Conns.Release(w.Conn, w.Journal)
		}
		w.Conn, w.Info, w.NoTrack = nil, conntrack.Untracked, true
	case ipvs.AlterReply:
		w.Conn.AlterReplySource(r.ReplySource, w.Journal)
	}
	if r.Verdict == netfilter.Stolen {
		n.taken = r
	}
	return r.Verdict
}

// reinject sends a packet that IPVS forwards on its way: routed by the server's address, through OUTPUT from its beginning, and
// POSTROUTING (net/netfilter/ipvs/ip_vs_xmit.c, ip_vs_nat_send_or_cont). FORWARD never sees it.
func (n *Node) reinject(p *packet.Packet, d *Disposition) {
	w := &n.walk
	out, local, _ := n.Routes.Lookup(n.taken.NextHop)
	n.noteRoute(out, local)
	if out == "" || local {
		d.Reason = "no route to the server"
		return
	}
	if a := p.Src.Addr(); a.IsLoopback() && (a.Is4() || w.Hook == netfilter.Output) { // ip_vs_xmit.c, crosses_local_route_boundary
		d.Reason = "IPVS sends nothing from a loopback address to a server elsewhere"
		return
	}
	if n.taken.Encapsulate {
		d.Fate, d.Out, d.NextHop = Forwarded, out, n.taken.NextHop
		return
	}
	w.In, w.Out = "", out
	if v := n.hook(netfilter.Output, p); v != netfilter.Accept {
		n.ended(v, p, d)
		return
	}
	n.leave(p, d)
	d.NextHop = n.taken.NextHop
}
