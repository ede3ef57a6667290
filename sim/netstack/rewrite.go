package netstack

import (
	"encoding/binary"
	"hash/crc32"
	"net/netip"

	"github.com/svclab/svclab/datapath/packet"
)

// delta gathers what changed words do to a one's complement sum: for each, the complement of the old and the new
// (RFC 1624, equation 3: HC' = ~(~HC + ~m + m')).
type delta uint32

// put16 writes a word at an even distance from where its checksum starts counting.
func (d *delta) put16(b []byte, v uint16) {
	*d += delta(^binary.BigEndian.Uint16(b)) + delta(v)
	binary.BigEndian.PutUint16(b, v)
}

// put16at writes a word at any distance: at an odd one its bytes count the other way round.
func (d *delta) put16at(b []byte, v uint16, distance int) {
	if distance&1 == 0 {
		d.put16(b, v)
		return
	}
	old := binary.BigEndian.Uint16(b)
	*d += delta(^(old>>8 | old<<8)) + delta(v>>8|v<<8)
	binary.BigEndian.PutUint16(b, v)
}

func (d *delta) putAddr(b []byte, a netip.Addr) {
	if a.Is4() {
		v := a.As4()
		d.put16(b, uint16(v[0])<<8|uint16(v[1]))
		d.put16(b[2:], uint16(v[2])<<8|uint16(v[3]))
		return
	}
	v := a.As16()
	for i := 0; i < 16; i += 2 {
		d.put16(b[i:], uint16(v[i])<<8|uint16(v[i+1]))
	}
}

// apply brings a checksum field up to date.
func (d delta) apply(field []byte) {
	if d != 0 {
		binary.BigEndian.PutUint16(field, d.on(binary.BigEndian.Uint16(field)))
	}
}

// on is a checksum brought up to date.
func (d delta) on(field uint16) uint16 {
	sum := uint32(^field) + uint32(d)
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// rewrite makes a packet's bytes say what its view says now, in place: what a walk may change is addresses, ports, an echo's
// identifier, time to live, type of service, the TCP MSS, and what an ICMP error quotes. Checksums follow what was changed, so
// that a wrong one stays wrong; transport checksums are left alone when nobody computes them (full false).
func rewrite(b []byte, l *layout, was, is *packet.Packet, full bool) {
	var ip, pseudo, body delta
	source, destination := 12, 16
	if l.v6 {
		source, destination = 8, 24
	}
	if was.Src.Addr() != is.Src.Addr() {
		pseudo.putAddr(b[source:], is.Src.Addr())
	}
	if was.Dst.Addr() != is.Dst.Addr() {
		pseudo.putAddr(b[destination:], is.Dst.Addr())
	}
	if l.v6 {
		b[7] = is.TTL
		if was.TOS != is.TOS {
			b[0], b[1] = b[0]&0xf0|is.TOS>>4, b[1]&0x0f|is.TOS<<4
		}
	} else {
		ip = pseudo
		if was.TTL != is.TTL {
			ip.put16(b[8:], uint16(is.TTL)<<8|uint16(b[9]))
		}
		if was.TOS != is.TOS {
			ip.put16(b, uint16(b[0])<<8|uint16(is.TOS))
		}
		ip.apply(b[10:])
	}
	if is.FragmentOffset != 0 {
		return
	}
	h := b[l.l4:]
	switch is.Proto {
	case packet.TCP, packet.UDP, packet.SCTP:
		if was.Src.Port() != is.Src.Port() {
			body.put16(h, is.Src.Port())
		}
		if was.Dst.Port() != is.Dst.Port() {
			body.put16(h[2:], is.Dst.Port())
		}
		if is.TCPMSS != was.TCPMSS && l.mss != 0 {
			body.put16at(b[l.mss:], is.TCPMSS, l.mss-l.l4)
		}
	case packet.ICMP, packet.ICMPv6:
		if was.Src.Port() != is.Src.Port() && !is.IsICMPError() {
			body.put16(h[4:], is.Src.Port())
		}
		if l.quoted != 0 && was.Quoted != is.Quoted {
			body += requote(b, l, &was.Quoted, &is.Quoted)
		}
	}
	settle(h, l, is.Proto, pseudo, body, full)
}

// settle brings the transport checksum up to date.
func settle(h []byte, l *layout, proto packet.Protocol, pseudo, body delta, full bool) {
	switch proto {
	case packet.TCP:
		if full {
			(pseudo + body).apply(h[16:])
		}
	case packet.UDP:
		settleUDP(h, pseudo+body, full)
	case packet.ICMP:
		body.apply(h[2:])
	case packet.ICMPv6:
		(pseudo + body).apply(h[2:])
	case packet.SCTP:
		if size := l.end - l.l4; body != 0 && len(h) >= size {
			sumSCTP(h[:size])
		}
	}
}

// settleUDP leaves 0, no checksum, and never makes it (RFC 768).
func settleUDP(h []byte, d delta, full bool) {
	if !full || d == 0 || h[6] == 0 && h[7] == 0 {
		return
	}
	d.apply(h[6:])
	if h[6] == 0 && h[7] == 0 {
		h[6], h[7] = 0xff, 0xff
	}
}

// requote rewrites the packet that an ICMP error quotes, its checksums included as far as they are among the quoted bytes, and
// returns what that does to the error's own checksum (net/netfilter/nf_nat_proto.c, nf_nat_icmp_reply_translation).
func requote(b []byte, l *layout, was, is *packet.Tuple) delta {
	var addresses, ports, all delta
	source, destination := 12, 16
	if b[l.quoted]>>4 == 6 {
		source, destination = 8, 24
	}
	q := b[l.quoted:l.end]
	if was.Src.Addr() != is.Src.Addr() {
		addresses.putAddr(q[source:], is.Src.Addr())
	}
	if was.Dst.Addr() != is.Dst.Addr() {
		addresses.putAddr(q[destination:], is.Dst.Addr())
	}
	all = addresses
	if source == 12 {
		old := binary.BigEndian.Uint16(q[10:])
		all.put16(q[10:], addresses.on(old))
	}
	if l.quotedL4 == 0 {
		return all
	}
	h := b[l.quotedL4:l.end]
	sum := -1
	switch is.Proto {
	case packet.TCP, packet.UDP, packet.SCTP:
		if was.Src.Port() != is.Src.Port() {
			ports.put16(h, is.Src.Port())
		}
		if was.Dst.Port() != is.Dst.Port() {
			ports.put16(h[2:], is.Dst.Port())
		}
		if is.Proto == packet.TCP && len(h) >= 18 {
			sum = 16
		} else if is.Proto == packet.UDP && (h[6] != 0 || h[7] != 0) {
			sum = 6
		}
	case packet.ICMP, packet.ICMPv6:
		if was.Src.Port() != is.Src.Port() {
			ports.put16(h[4:], is.Src.Port())
		}
		sum = 2
	}
	all += ports
	if is.Proto != packet.ICMP {
		ports += addresses
	}
	if sum >= 0 && ports != 0 {
		all.put16(h[sum:], ports.on(binary.BigEndian.Uint16(h[sum:])))
	}
	return all
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sumSCTP computes the checksum of a whole SCTP packet (RFC 9260, section 6.8): CRC32c is not a sum, and cannot follow a change
// without the bytes it covers.
func sumSCTP(h []byte) {
	binary.LittleEndian.PutUint32(h[8:], 0)
	binary.LittleEndian.PutUint32(h[8:], crc32.Checksum(h, castagnoli))
}

// checksum is the Internet checksum of b, continued from sum (RFC 1071), not yet complemented.
func checksum(b []byte, sum uint32) uint32 {
	for len(b) >= 2 {
		sum += uint32(b[0])<<8 | uint32(b[1])
		b = b[2:]
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return sum
}

// pseudoSum is the sum of the pseudo-header (RFC 9293, section 3.1; RFC 8200, section 8.1).
func pseudoSum(src, dst netip.Addr, proto packet.Protocol, length int) uint32 {
	return checksum(dst.AsSlice(), checksum(src.AsSlice(), uint32(proto)+uint32(length)))
}

// fillChecksums computes every checksum of a packet in one piece that is not a fragment.
func fillChecksums(b []byte, l *layout, p *packet.Packet) {
	if !l.v6 {
		b[10], b[11] = 0, 0
		binary.BigEndian.PutUint16(b[10:], ^uint16(checksum(b[:b[0]&15*4], 0)))
	}
	if p.FragmentOffset != 0 || p.MoreFragments {
		return
	}
	h, field := b[l.l4:l.end], 0
	sum := pseudoSum(p.Src.Addr(), p.Dst.Addr(), p.Proto, len(h))
	switch p.Proto {
	case packet.TCP:
		field = 16
	case packet.UDP:
		field = 6
		if n := int(binary.BigEndian.Uint16(h[4:])); n >= 8 && n < len(h) {
			h = h[:n]
			sum = pseudoSum(p.Src.Addr(), p.Dst.Addr(), p.Proto, n)
		}
	case packet.ICMP:
		field, sum = 2, 0
	case packet.ICMPv6:
		field = 2
	case packet.SCTP:
		sumSCTP(h)
		return
	default:
		return
	}
	h[field], h[field+1] = 0, 0
	v := ^uint16(checksum(h, sum))
	if v == 0 && p.Proto == packet.UDP {
		v = 0xffff
	}
	binary.BigEndian.PutUint16(h[field:], v)
}

// goodChecksums reports whether the checksums of a packet in one piece fit; those of fragments that cannot be seen are good.
func goodChecksums(b []byte, l *layout, p *packet.Packet) bool {
	if !l.v6 && checksum(b[:b[0]&15*4], 0) != 0xffff {
		return false
	}
	if p.FragmentOffset != 0 || p.MoreFragments {
		return true
	}
	h := b[l.l4:l.end]
	switch p.Proto {
	case packet.UDP:
		if !l.v6 && h[6] == 0 && h[7] == 0 {
			return true
		}
		length := int(binary.BigEndian.Uint16(h[4:]))
		if length < 8 || length > len(h) {
			return false
		}
		h = h[:length]
	case packet.TCP, packet.ICMPv6:
	case packet.ICMP:
		return checksum(h, 0) == 0xffff
	case packet.SCTP:
		var zero [4]byte
		c := crc32.Update(crc32.Checksum(h[:8], castagnoli), castagnoli, zero[:])
		return binary.LittleEndian.Uint32(h[8:]) == crc32.Update(c, castagnoli, h[12:])
	default:
		return true
	}
	return checksum(h, pseudoSum(p.Src.Addr(), p.Dst.Addr(), p.Proto, len(h))) == 0xffff
}
