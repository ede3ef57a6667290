package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/svclab/svclab/datapath/packet"
)

// Patch appends the bytes of a packet, given from its IP header on, after the datapath turned its view from one into another:
// addresses, ports, identifiers, time to live, type of service and what an ICMP error quotes are rewritten, and checksums follow
// by what changed (RFC 1624), so that one that was wrong, or that a card was yet to make, stays as wrong. Everything else is kept.
// An error is a ViewError when the bytes are not of the first view.
func Patch(dst, ip []byte, from, to *packet.Packet) ([]byte, error) {
	start := len(dst)
	dst = append(dst, ip...)
	b := dst[start:]
	var d Decoder
	if is, err := d.Decode(Raw, b); err != nil || is.Tuple() != from.Tuple() || to.Family() != from.Family() {
		return dst[:start], &ViewError{Why: fmt.Sprintf("the bytes at hand are not of %s", from.Tuple())}
	}
	v6 := from.Family() == packet.IPv6
	transport, src, dest := int(b[0]&15)*4, 12, 16
	if v6 {
		x, _ := extensions(b[6], b[40:], 0)
		transport, src, dest = 40+x.bytes, 8, 24
	}
	old := sumsOf(ip, transport, v6)
	copy(b[src:], to.Src.Addr().AsSlice())
	copy(b[dest:], to.Dst.Addr().AsSlice())
	if v6 {
		b[0], b[1], b[7] = b[0]&0xf0|to.TOS>>4, b[1]&15|to.TOS<<4, to.TTL
	} else {
		b[1], b[8] = to.TOS, to.TTL
	}
	if transportOf(to) != 0 {
		patchTransport(b[transport:], from, to)
	}
	now := sumsOf(b, transport, v6)
	if !v6 {
		adjust(b[10:], old.header, now.header)
	}
	if transportOf(to) == 0 {
		return dst, nil
	}
	t := b[transport:]
	switch {
	case to.Proto == packet.TCP && len(t) >= 18:
		adjust(t[16:], old.pseudo+old.body, now.pseudo+now.body)
	case to.Proto == packet.UDP && len(t) >= 8 && (t[6] != 0 || t[7] != 0):
		adjust(t[6:], old.pseudo+old.body, now.pseudo+now.body)
		if t[6] == 0 && t[7] == 0 {
			t[6], t[7] = 0xff, 0xff
		}
	case to.Proto == packet.ICMP && len(t) >= 4:
		adjust(t[2:], old.body, now.body)
	case to.Proto == packet.ICMPv6 && len(t) >= 4:
		adjust(t[2:], old.pseudo+old.body, now.pseudo+now.body)
	case to.Proto == packet.SCTP && len(t) >= 12 && from.Tuple() != to.Tuple() && whole(b):
		binary.LittleEndian.PutUint32(t[8:], sctpSum(t))
	}
	return dst, nil
}

// patchTransport rewrites ports, identifiers and quoted headers.
func patchTransport(t []byte, from, to *packet.Packet) {
	switch to.Proto {
	case packet.TCP, packet.UDP, packet.SCTP:
		binary.BigEndian.PutUint16(t, to.Src.Port())
		binary.BigEndian.PutUint16(t[2:], to.Dst.Port())
	case packet.ICMP, packet.ICMPv6:
		switch {
		case !to.IsICMPError() && from.Src.Port() != to.Src.Port():
			binary.BigEndian.PutUint16(t[4:], to.Src.Port())
		case to.IsICMPError() && from.Quoted != to.Quoted && to.Quoted.IsValid():
			patchQuote(t[8:], to.Quoted)
		}
	}
}

// patchQuote rewrites the tuple of the packet that an ICMP error quotes, and the checksum of its IPv4 header.
func patchQuote(b []byte, to packet.Tuple) {
	q, ok := quoteOf(b)
	if !ok || packet.FamilyOf(to.Src.Addr()) != packet.FamilyOf(q.tuple.Src.Addr()) {
		return
	}
	put := func(at int, a netip.Addr) { copy(b[at:], a.AsSlice()) }
	if to.Src.Addr().Is4() {
		old := sum(0, b[:q.transport])
		put(12, to.Src.Addr())
		put(16, to.Dst.Addr())
		adjust(b[10:], old, sum(0, b[:q.transport]))
	} else {
		put(8, to.Src.Addr())
		put(24, to.Dst.Addr())
	}
	t := b[q.transport:]
	switch to.Proto {
	case packet.TCP, packet.UDP, packet.SCTP:
		binary.BigEndian.PutUint16(t, to.Src.Port())
		binary.BigEndian.PutUint16(t[2:], to.Dst.Port())
	case packet.ICMP, packet.ICMPv6:
		binary.BigEndian.PutUint16(t[4:], to.Src.Port())
	}
}

// sums are those that checksums of a packet are made of.
type sums struct{ header, pseudo, body uint32 }

func sumsOf(b []byte, transport int, v6 bool) sums {
	s := sums{body: sum(0, b[transport:])}
	if v6 {
		s.pseudo = sum(0, b[8:40])
	} else {
		s.header, s.pseudo = sum(0, b[:transport]), sum(0, b[12:20])
	}
	return s
}

// adjust brings a checksum after what it covers went from one sum to another.
func adjust(b []byte, old, now uint32) {
	o, n := fold(old), fold(now)
	if o == n {
		return
	}
	c := uint32(^binary.BigEndian.Uint16(b)) + uint32(^o) + uint32(n)
	binary.BigEndian.PutUint16(b, ^fold(c))
}

// whole reports whether all bytes that a packet's IP header tells of are there, and no more.
func whole(b []byte) bool {
	if b[0]>>4 == 6 {
		return len(b) == 40+int(binary.BigEndian.Uint16(b[4:]))
	}
	return len(b) == int(binary.BigEndian.Uint16(b[2:]))
}
