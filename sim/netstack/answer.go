package netstack

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/svclab/svclab/datapath/packet"
)

// answer makes the bytes of what a node tells the sender of the packet in n.p, which n.pkt holds as it came: a RST, or an ICMP
// error that quotes it (net/ipv4/netfilter/nf_reject_ipv4.c, nf_send_reset and nf_send_unreach).
func (n *Node) answer(a *packet.Packet) *stack.PacketBuffer {
	original := bytesOf(nil, n.pkt)
	if a.Proto == packet.TCP {
		return packetOf(n.reset(a, original))
	}
	// The kernel quotes the packet as it is by then: translated, and its time to live counted down.
	rewrite(original, &n.lay, &n.was, &n.p, n.f.o.Checksums)
	return packetOf(n.quote(a, original, n.p.Tuple(), 0))
}

// reset is a RST of the length of its headers (RFC 9293, section 3.10.7.1).
func (n *Node) reset(a *packet.Packet, original []byte) []byte {
	b := ipHeader(a, 20)
	h, o := b[len(b)-20:], original[n.lay.l4:]
	binary.BigEndian.PutUint16(h, a.Src.Port())
	binary.BigEndian.PutUint16(h[2:], a.Dst.Port())
	h[12], h[13] = 5<<4, byte(a.TCPFlags)
	if a.TCPFlags.Has(packet.ACK) {
		next := binary.BigEndian.Uint32(o[4:]) + uint32(n.lay.end-n.lay.l4-int(o[12]>>4)*4)
		if n.was.TCPFlags.Has(packet.SYN) {
			next++
		}
		if n.was.TCPFlags.Has(packet.FIN) {
			next++
		}
		binary.BigEndian.PutUint32(h[8:], next)
	} else {
		copy(h[4:8], o[8:12])
	}
	finish(b, a)
	return b
}

// quote is an ICMP error about a packet whose bytes bear a tuple; the error quotes it under its own Quoted. Rest fills the
// second word of its header, the MTU of "too big".
func (n *Node) quote(a *packet.Packet, original []byte, was packet.Tuple, rest uint32) []byte {
	header := 20
	if a.Family() == packet.IPv6 {
		header = 40
	}
	quoted := original[:min(len(original), max(int(a.LengthBytes)-header-icmpHeader, 0))]
	b := ipHeader(a, icmpHeader+len(quoted))
	h := b[header:]
	h[0], h[1] = a.ICMPType, a.ICMPCode
	binary.BigEndian.PutUint32(h[4:], rest)
	copy(h[icmpHeader:], quoted)
	var view packet.Packet
	var l layout
	if read(flat(b), len(b), &view, &l) == sound && l.quoted != 0 && was != a.Quoted {
		requote(b, &l, &was, &a.Quoted)
	}
	finish(b, a)
	return b
}

// ipHeader makes a packet of a view and some bytes of payload, zero so far.
func ipHeader(a *packet.Packet, payload int) []byte {
	if a.Family() == packet.IPv6 {
		b := make([]byte, v6Header+payload)
		b[0], b[1] = 0x60|a.TOS>>4, a.TOS<<4
		binary.BigEndian.PutUint16(b[4:], uint16(payload))
		b[6], b[7] = byte(a.Proto), a.TTL
		copy(b[8:], a.Src.Addr().AsSlice())
		copy(b[24:], a.Dst.Addr().AsSlice())
		return b
	}
	b := make([]byte, v4Header+payload)
	b[0], b[1] = 0x45, a.TOS
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	b[6] = 0x40 // do not fragment
	b[8], b[9] = a.TTL, byte(a.Proto)
	copy(b[12:], a.Src.Addr().AsSlice())
	copy(b[16:], a.Dst.Addr().AsSlice())
	return b
}

// finish computes the checksums of a packet of the node's own.
func finish(b []byte, a *packet.Packet) {
	l := layout{l4: v4Header, end: len(b)}
	if a.Family() == packet.IPv6 {
		l.l4, l.v6 = v6Header, true
	}
	fillChecksums(b, &l, a)
}

// send puts the node's answer to a packet on its way in place of the packet.
func (n *Node) send(it *item, a *packet.Packet) {
	n.f.dropPacket(it)
	it.pkt, n.said = n.said, nil
	it.largest, it.icmp = 0, a.Proto != packet.TCP
	n.f.stats.Answers++
	n.leave(it, a)
}

// leave sends a packet of the node's own, which has been through OUTPUT.
func (n *Node) leave(it *item, a *packet.Packet) {
	if to := n.f.at[a.Dst.Addr()]; to == n.own || n.dp.Routes.IsLocal(a.Dst.Addr()) {
		it.at, it.to, it.node = n.f.now, n.own, nil
		n.f.schedule(it)
		return
	}
	it.node, it.in = n, ""
	to := n.f.at[a.Dst.Addr()]
	if to == nil {
		n.f.stats.NoHost++
		n.f.drop(it)
		return
	}
	n.f.onward(it, to)
}
