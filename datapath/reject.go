package datapath

import (
	"net/netip"

	"github.com/svclab/svclab/datapath/conntrack"
	"github.com/svclab/svclab/datapath/packet"
)

// icmpCode is the type and code of a rejection's message.
type icmpCode struct {
	proto     packet.Protocol
	typ, code uint8
}

// rejections maps the names of --reject-with to their messages (net/ipv4/netfilter/ipt_REJECT.c, net/ipv6/netfilter/ip6t_REJECT.c).
var rejections = map[string]icmpCode{
	"icmp-net-unreachable":   {packet.ICMP, 3, 0},
	"icmp-host-unreachable":  {packet.ICMP, 3, 1},
	"icmp-proto-unreachable": {packet.ICMP, 3, 2},
	"icmp-port-unreachable":  {packet.ICMP, 3, 3},
	"icmp-net-prohibited":    {packet.ICMP, 3, 9},
	"icmp-host-prohibited":   {packet.ICMP, 3, 10},
	"icmp-admin-prohibited":  {packet.ICMP, 3, 13},
	"icmp6-no-route":         {packet.ICMPv6, 1, 0},
	"icmp6-adm-prohibited":   {packet.ICMPv6, 1, 1},
	"icmp6-addr-unreachable": {packet.ICMPv6, 1, 3},
	"icmp6-port-unreachable": {packet.ICMPv6, 1, 4},
	"icmp6-policy-fail":      {packet.ICMPv6, 1, 5},
	"icmp6-reject-route":     {packet.ICMPv6, 1, 6},
}

// tcpReset is the name of the rejection that answers with RST.
const tcpReset = "tcp-reset"

// reject makes the answer to a rejected packet and walks it out of the node, so that its counters grow and a translated
// destination is translated back. It is nil when the sender is told nothing: later fragments, broadcasts, RST answering RST,
// errors about errors (net/ipv4/netfilter/nf_reject_ipv4.c), or an answer that rules stop.
func (n *Node) reject(p *packet.Packet) *packet.Packet {
	w := &n.walk
	if n.answering || p.IsLaterFragment() || p.Type != packet.ToHost || p.IsICMPError() {
		return nil
	}
	a := &n.answer
	*a = packet.Packet{TTL: 64, LengthBytes: 40}
	if w.Rejection.With == tcpReset {
		if p.Proto != packet.TCP || p.TCPFlags.Has(packet.RST) {
			return nil
		}
		a.Src, a.Dst, a.Proto, a.TCPFlags = p.Dst, p.Src, packet.TCP, packet.RST|packet.ACK
		if p.TCPFlags.Has(packet.ACK) {
			a.TCPFlags = packet.RST
		}
		if p.Family() == packet.IPv6 {
			a.LengthBytes = 60
		}
	} else {
		m, ok := rejections[w.Rejection.With]
		if !ok {
			return nil
		}
		a.Src = netip.AddrPortFrom(n.errorSource(p), 0)
		a.Dst = netip.AddrPortFrom(p.Src.Addr(), 0)
		a.Proto, a.ICMPType, a.ICMPCode = m.proto, m.typ, m.code
		a.Quoted = p.Tuple()
		a.LengthBytes = 28 + min(p.LengthBytes, 548) // RFC 1812, 4.3.2.3: at most 576 bytes
		if m.proto == packet.ICMPv6 {
			a.LengthBytes = 48 + min(p.LengthBytes, 1232) // RFC 4443, 2.4: at most 1280 bytes
		}
	}
	return n.sendAnswer(a)
}

// errorSource is the address an ICMP error comes from: the destination if it is the node's own, else the address of the
// interface towards the sender (net/ipv4/icmp.c, __icmp_send).
func (n *Node) errorSource(p *packet.Packet) netip.Addr {
	if n.Routes.IsLocal(p.Dst.Addr()) {
		return p.Dst.Addr()
	}
	if n.Routes.IsLocal(p.Src.Addr()) {
		return p.Src.Addr()
	}
	if s := n.Routes.SourceAddress(n.Routes.OutputInterface(p.Src.Addr()), p.Src.Addr()); s.IsValid() {
		return s
	}
	return p.Dst.Addr()
}

// sendAnswer walks an answer by OUTPUT and POSTROUTING, attached to the connection of the packet that caused it
// (net/netfilter/nf_conntrack_core.c, nf_conntrack_attach), and restores the walk.
func (n *Node) sendAnswer(a *packet.Packet) *packet.Packet {
	w := &n.walk
	saved := *w
	n.answering = true
	w.In, w.Out, w.Trace = "", "", nil
	switch {
	case w.Conn == nil:
		w.Info = conntrack.Untracked
	case w.Info.IsReply():
		w.Info = conntrack.Related
	default:
		w.Info = conntrack.RelatedReply
	}
	var d Disposition
	n.depart(a, &d)
	n.answering = false
	work := w.Work
	*w = saved
	w.Work = work
	if d.Fate != Forwarded && d.Fate != Delivered {
		return nil
	}
	return a
}
