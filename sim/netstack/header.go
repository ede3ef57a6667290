package netstack

import (
	"encoding/binary"
	"net/netip"

	"github.com/svclab/svclab/datapath/packet"
)

// layout is where the parts of a packet lie, in bytes from the start of its IP header; read fills it in and rewrite uses it.
type layout struct {
	l4       int  // transport header; of a later fragment, where its part of the payload begins
	end      int  // where the packet ends by its own length field
	mss      int  // value of the TCP MSS option; 0 when there is none
	quoted   int  // IP header that an ICMP error quotes; 0 when there is none
	quotedL4 int  // its transport header; 0 when it is not among the quoted bytes
	fragment int  // IPv6 fragment header; 0 when there is none
	v6       bool // IP version
	dont     bool // IPv4 DF, or IPv6: routers do not cut it
}

// fault is what is wrong with a packet's bytes.
type fault uint8

const (
	sound     fault = iota
	truncated       // shorter than its headers say
	malformed       // not an IP packet, or a header where none may be
)

const (
	v4Header       = 20
	v6Header       = 40
	icmpHeader     = 8
	fragmentHeader = 8
)

// read fills in a packet's view from its bytes, by fixed offsets where the header allows it (RFC 791, RFC 8200). Metadata that
// no byte carries is left as it is.
func read(s view, size int, p *packet.Packet, l *layout) fault {
	b, ok := s.need(v4Header)
	if !ok {
		return truncated
	}
	*l = layout{}
	switch b[0] >> 4 {
	case 4:
		if f := readV4(b, size, p, l); f != sound {
			return f
		}
	case 6:
		if f := readV6(s, size, p, l); f != sound {
			return f
		}
	default:
		return malformed
	}
	if p.FragmentOffset != 0 {
		return sound
	}
	return readTransport(s, p, l)
}

func readV4(b []byte, size int, p *packet.Packet, l *layout) fault {
	header, length := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if header < v4Header || length < header {
		return malformed
	}
	if length > size {
		return truncated
	}
	l.l4, l.end = header, length
	p.TOS, p.LengthBytes, p.TTL, p.Proto = b[1], uint32(length), b[8], packet.Protocol(b[9])
	frag := binary.BigEndian.Uint16(b[6:])
	l.dont = frag&0x4000 != 0
	p.MoreFragments, p.FragmentOffset = frag&0x2000 != 0, frag&0x1fff
	p.Src = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[12:16])), 0)
	p.Dst = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[16:20])), 0)
	return sound
}

func readV6(s view, size int, p *packet.Packet, l *layout) fault {
	b, ok := s.need(v6Header)
	if !ok {
		return truncated
	}
	l.v6, l.dont = true, true
	l.end = v6Header + int(binary.BigEndian.Uint16(b[4:]))
	if l.end > size {
		return truncated
	}
	p.TOS, p.LengthBytes, p.TTL = b[0]<<4|b[1]>>4, uint32(l.end), b[7]
	p.MoreFragments, p.FragmentOffset = false, 0
	p.Src = netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])), 0)
	p.Dst = netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[24:40])), 0)
	proto, at, frag, f := skipExtensions(s, b[6], v6Header, l.end)
	if f != sound {
		return f
	}
	p.Proto, l.l4, l.fragment = packet.Protocol(proto), at, frag
	if frag != 0 {
		b, _ = s.need(frag + fragmentHeader)
		v := binary.BigEndian.Uint16(b[frag+2:])
		p.MoreFragments, p.FragmentOffset = v&1 != 0, v>>3
	}
	return sound
}

// skipExtensions walks IPv6 extension headers (RFC 8200, section 4): hop-by-hop, routing, destination options, and a fragment
// header, after which only a first fragment has more to walk.
func skipExtensions(s view, proto byte, at, end int) (byte, int, int, fault) {
	fragment := 0
	for hops := 0; ; hops++ {
		length := 0
		switch proto {
		case 0, 43, 60:
			b, ok := s.need(at + 2)
			if !ok || at+2 > end {
				return 0, 0, 0, truncated
			}
			if hops == 8 {
				return 0, 0, 0, malformed
			}
			proto, length = b[at], (int(b[at+1])+1)*8
		case 44:
			b, ok := s.need(at + fragmentHeader)
			if !ok || at+fragmentHeader > end {
				return 0, 0, 0, truncated
			}
			if fragment != 0 {
				return 0, 0, 0, malformed
			}
			fragment = at
			if binary.BigEndian.Uint16(b[at+2:])>>3 != 0 {
				return b[at], at + fragmentHeader, fragment, sound
			}
			proto, length = b[at], fragmentHeader
		default:
			return proto, at, fragment, sound
		}
		if at += length; at > end {
			return 0, 0, 0, truncated
		}
	}
}

func readTransport(s view, p *packet.Packet, l *layout) fault {
	switch p.Proto {
	case packet.TCP:
		return readTCP(s, p, l)
	case packet.UDP:
		b, ok := s.need(l.l4 + 8)
		if !ok || l.l4+8 > l.end {
			return truncated
		}
		readPorts(b[l.l4:], p)
	case packet.SCTP:
		b, ok := s.need(l.l4 + 16)
		if !ok || l.l4+16 > l.end {
			return truncated
		}
		readPorts(b[l.l4:], p)
		p.SCTPChunk = packet.SCTPChunk(b[l.l4+12])
	case packet.ICMP, packet.ICMPv6:
		return readICMP(s, p, l)
	}
	return sound
}

func readPorts(b []byte, p *packet.Packet) {
	p.Src = netip.AddrPortFrom(p.Src.Addr(), binary.BigEndian.Uint16(b))
	p.Dst = netip.AddrPortFrom(p.Dst.Addr(), binary.BigEndian.Uint16(b[2:]))
}

func readTCP(s view, p *packet.Packet, l *layout) fault {
	b, ok := s.need(l.l4 + 20)
	if !ok || l.l4+20 > l.end {
		return truncated
	}
	readPorts(b[l.l4:], p)
	p.TCPFlags = packet.TCPFlags(b[l.l4+13] & 0x3f)
	header := int(b[l.l4+12]>>4) * 4
	if header < 20 {
		return malformed
	}
	if l.l4+header > l.end {
		return truncated
	}
	if !p.TCPFlags.Has(packet.SYN) || header == 20 {
		return sound
	}
	if b, ok = s.need(l.l4 + header); !ok {
		return truncated
	}
	o := b[l.l4+20 : l.l4+header]
	for at := 0; at < len(o); {
		switch {
		case o[at] == 0:
			return sound
		case o[at] == 1:
			at++
			continue
		case at+1 >= len(o) || o[at+1] < 2 || at+int(o[at+1]) > len(o):
			return sound // Linux reads no further and takes the rest for padding (net/ipv4/tcp_input.c, tcp_parse_options)
		case o[at] == 2 && o[at+1] == 4:
			l.mss = l.l4 + 20 + at + 2
			p.TCPMSS = binary.BigEndian.Uint16(o[at+2:])
		}
		at += int(o[at+1])
	}
	return sound
}

// readICMP reads type, code and, of an echo, the identifier; of an error the packet it is about (RFC 792, RFC 4443).
func readICMP(s view, p *packet.Packet, l *layout) fault {
	b, ok := s.need(l.l4 + icmpHeader)
	if !ok || l.l4+icmpHeader > l.end {
		return truncated
	}
	p.ICMPType, p.ICMPCode = b[l.l4], b[l.l4+1]
	if !p.IsICMPError() {
		switch {
		case p.Proto == packet.ICMPv6 && (p.ICMPType == 128 || p.ICMPType == 129),
			p.Proto == packet.ICMP && (p.ICMPType == 8 || p.ICMPType == 0 || p.ICMPType >= 13 && p.ICMPType <= 18):
			p.Src = netip.AddrPortFrom(p.Src.Addr(), binary.BigEndian.Uint16(b[l.l4+4:]))
		}
		return sound
	}
	if b, ok = s.need(l.end); !ok {
		return truncated
	}
	var in packet.Packet
	var at layout
	q := b[l.l4+icmpHeader : l.end]
	if !readQuoted(q, &in, &at) {
		return sound
	}
	l.quoted = l.l4 + icmpHeader
	if at.l4 != 0 {
		l.quotedL4 = l.quoted + at.l4
	}
	p.Quoted = in.Tuple()
	return sound
}

// readQuoted reads what an ICMP error quotes: an IP header and at least 8 bytes of what followed. Its length fields speak of
// the whole packet, not of the quoted part.
func readQuoted(q []byte, in *packet.Packet, l *layout) bool {
	if len(q) < v4Header {
		return false
	}
	switch q[0] >> 4 {
	case 4:
		if readV4(q, 1<<16, in, l) != sound {
			return false
		}
	case 6:
		if len(q) < v6Header || readV6(flat(q), 1<<17, in, l) != sound {
			return false
		}
	default:
		return false
	}
	if in.FragmentOffset != 0 || len(q) < l.l4+icmpHeader {
		l.l4 = 0
		return in.FragmentOffset == 0 && !in.Proto.HasPorts()
	}
	b := q[l.l4:]
	switch {
	case in.Proto.HasPorts():
		readPorts(b, in)
	case in.Proto == packet.ICMP || in.Proto == packet.ICMPv6:
		in.ICMPType, in.ICMPCode = b[0], b[1]
		in.Src = netip.AddrPortFrom(in.Src.Addr(), binary.BigEndian.Uint16(b[4:]))
	}
	return true
}
