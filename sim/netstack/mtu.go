package netstack

import (
	"encoding/binary"
	"net/netip"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
)

// squeeze makes a packet in n.p fit a link: it is cut, or given up and its sender told (net/ipv4/ip_output.c, ip_fragment;
// net/ipv6/ip6_output.c, ip6_fragment). A datagram that came in fragments is cut into fragments no larger than those. It returns
// the packets to send in place of it, nil when it goes as it is, and whether it goes at all. The kernel decides this before
// FORWARD, so that such a packet is counted by no rule there; here it has been through.
func (n *Node) squeeze(it *item, mtu int) (cut [][]byte, ok bool) {
	size := n.lay.end
	if it.largest == 0 && size <= mtu {
		return nil, true
	}
	tooBig := size > mtu && n.lay.dont && (it.largest == 0 || it.largest > mtu)
	if tooBig {
		n.f.stats.PacketTooBig++
		n.tooBig(it, mtu)
		return nil, false
	}
	if it.largest > 0 {
		mtu = min(mtu, it.largest)
		if n.lay.v6 {
			mtu = max(mtu, minFragmentV6)
		}
	}
	if size <= mtu {
		return nil, true
	}
	n.f.stats.Fragmented++
	b := bytesOf(nil, it.pkt)[:size]
	if n.lay.v6 {
		n.fragmentID++
		return cutV6(b, n.lay.l4, byte(n.p.Proto), mtu, n.fragmentID), true
	}
	return cutV4(b, n.lay.l4, mtu), true
}

// cutV4 makes fragments of a packet (RFC 791, section 3.2).
func cutV4(b []byte, header, mtu int) [][]byte {
	step := max((mtu-header)&^7, 8)
	base := binary.BigEndian.Uint16(b[6:])
	var out [][]byte
	for at := header; at < len(b); at += step {
		end := min(at+step, len(b))
		q := append(append(make([]byte, 0, header+end-at), b[:header]...), b[at:end]...)
		if at > header {
			blankOptions(q[v4Header:header])
		}
		field := base&0xe000 | (base&0x1fff + uint16((at-header)/8))
		if end < len(b) {
			field |= 0x2000
		}
		binary.BigEndian.PutUint16(q[2:], uint16(len(q)))
		binary.BigEndian.PutUint16(q[6:], field)
		q[10], q[11] = 0, 0
		binary.BigEndian.PutUint16(q[10:], ^uint16(checksum(q[:header], 0)))
		out = append(out, q)
	}
	return out
}

// blankOptions replaces options that only the first fragment carries by no-operations (net/ipv4/ip_options.c,
// ip_options_fragment).
func blankOptions(o []byte) {
	for i := 0; i < len(o) && o[i] != 0; {
		if o[i] == 1 {
			i++
			continue
		}
		if i+1 >= len(o) || o[i+1] < 2 || i+int(o[i+1]) > len(o) {
			return
		}
		length := int(o[i+1])
		if o[i]&0x80 == 0 {
			for k := range length {
				o[i+k] = 1
			}
		}
		i += length
	}
}

// cutV6 makes fragments of a packet, whose extension headers before the transport all stay with each (RFC 8200, section 4.5).
func cutV6(b []byte, l4 int, proto byte, mtu int, id uint32) [][]byte {
	step := max((mtu-l4-fragmentHeader)&^7, 8)
	var out [][]byte
	for at := l4; at < len(b); at += step {
		end := min(at+step, len(b))
		q := append(make([]byte, 0, l4+fragmentHeader+end-at), b[:l4]...)
		q[lastNext(q)] = 44
		field := uint16(at-l4) &^ 7
		if end < len(b) {
			field |= 1
		}
		q = append(q, proto, 0, byte(field>>8), byte(field))
		q = binary.BigEndian.AppendUint32(q, id)
		q = append(q, b[at:end]...)
		binary.BigEndian.PutUint16(q[4:], uint16(len(q)-v6Header))
		out = append(out, q)
	}
	return out
}

// tooBig ends a packet and tells its sender the MTU: "fragmentation needed" (RFC 1191), or "packet too big" (RFC 4443, section
// 3.2). The error goes out through OUTPUT, where what it quotes is translated back.
func (n *Node) tooBig(it *item, mtu int) {
	a := packet.Packet{TTL: 64, Proto: packet.ICMP, ICMPType: 3, ICMPCode: 4, LengthBytes: 28 + min(uint32(n.lay.end), 548)}
	if n.lay.v6 {
		a.Proto, a.ICMPType, a.ICMPCode = packet.ICMPv6, 2, 0
		a.LengthBytes = 48 + min(uint32(n.lay.end), 1232)
	}
	n.complain(it, &a, uint32(mtu))
}

// expired is datapath's reason for a packet that a node would have to send on with no time left to live.
const expired = "time to live exceeded"

// timeExceeded ends a packet and tells its sender that its time to live is over (RFC 792; RFC 4443, section 3.3).
func (n *Node) timeExceeded(it *item) {
	n.f.stats.TimeExceeded++
	a := packet.Packet{TTL: 64, Proto: packet.ICMP, ICMPType: 11, LengthBytes: 28 + min(uint32(n.lay.end), 548)}
	if n.lay.v6 {
		a.Proto, a.ICMPType = packet.ICMPv6, 3
		a.LengthBytes = 48 + min(uint32(n.lay.end), 1232)
	}
	n.complain(it, &a, 0)
}

// complain sends an ICMP error about the packet in n.p in its place: as translated by PREROUTING and not yet by POSTROUTING.
func (n *Node) complain(it *item, a *packet.Packet, rest uint32) {
	f := n.f
	if n.p.IsICMPError() || n.p.FragmentOffset != 0 {
		f.drop(it)
		return
	}
	bears := n.p.Tuple()
	a.Quoted = bears
	a.Quoted.Src = n.was.Src
	sender := n.was.Src.Addr()
	from := n.dp.Routes.SourceAddress(n.dp.Routes.OutputInterface(sender), sender)
	if n.dp.Routes.IsLocal(sender) {
		from = sender
	}
	if !from.IsValid() {
		f.drop(it)
		return
	}
	a.Src, a.Dst = netip.AddrPortFrom(from, 0), netip.AddrPortFrom(sender, 0)
	if a.Proto == packet.ICMP {
		a.TOS = 0xc0 // IPTOS_PREC_INTERNETCONTROL (net/ipv4/icmp.c, __icmp_send)
	}
	original := bytesOf(nil, it.pkt)
	f.stats.Answers++
	d := n.dp.Send(f.now, a)
	if d.Fate != datapath.Forwarded && d.Fate != datapath.Delivered {
		f.drop(it)
		return
	}
	b := n.quote(a, original, bears, rest)
	f.dropPacket(it)
	it.pkt, it.largest, it.icmp = packetOf(b), 0, true
	n.leave(it, a)
}
