package wire

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/svclab/svclab/datapath/packet"
)

// Checksums says which checksums of a packet, given from its IP header on, are wrong. A kernel drops a packet with a wrong IPv4
// header checksum before any hook, and connection tracking calls one with a wrong transport checksum INVALID
// (net/netfilter/nf_conntrack_proto_tcp.c, tcp_error). Captures show wrong ones of packets that a card was yet to sum up. What is
// not whole, and later fragments, cannot be told.
func Checksums(b []byte) []error {
	var bad []error
	wrong := func(what string, at int, got, want uint32) {
		bad = append(bad, &ChecksumError{what, at, got, want})
	}
	var proto packet.Protocol
	var transport, end int
	var pseudo uint32
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		transport, end, proto = int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:])), packet.Protocol(b[9])
		if transport < 20 || len(b) < transport {
			return nil
		}
		if s := fold(sum(0, b[:transport])); s != 0xffff {
			got := binary.BigEndian.Uint16(b[10:])
			wrong("IPv4", 10, uint32(got), uint32(repaired(got, s)))
		}
		if binary.BigEndian.Uint16(b[6:])&0x3fff != 0 {
			return bad
		}
		pseudo = sum(0, b[12:20])
	case len(b) >= 40 && b[0]>>4 == 6:
		end = 40 + int(binary.BigEndian.Uint16(b[4:]))
		x, err := extensions(b[6], b[40:], 0)
		if err != nil || x.fragment != 0 || x.more {
			return nil
		}
		transport, proto = 40+x.bytes, x.proto
		pseudo = sum(0, b[8:40])
	default:
		return nil
	}
	if end > len(b) || transport > end {
		return bad
	}
	if v6 := b[0]>>4 == 6; v6 && proto == packet.ICMP || !v6 && proto == packet.ICMPv6 {
		return bad // one family's ICMP in the other has no sum that is known
	}
	t := b[transport:end]
	at := map[packet.Protocol]int{packet.TCP: 16, packet.UDP: 6, packet.ICMP: 2, packet.ICMPv6: 2}[proto]
	switch {
	case proto == packet.SCTP && len(t) >= 12:
		got := binary.LittleEndian.Uint32(t[8:])
		if want := sctpSum(t); want != got {
			wrong("SCTP", transport+8, got, want)
		}
	case at > 0 && len(t) >= at+2:
		got := binary.BigEndian.Uint16(t[at:])
		if proto == packet.UDP && got == 0 && b[0]>>4 == 4 {
			return bad // not summed up, as IPv4 allows
		}
		if proto != packet.ICMP {
			pseudo += uint32(proto) + uint32(len(t))
		} else {
			pseudo = 0
		}
		if s := fold(sum(pseudo, t)); s != 0xffff {
			wrong(nameOf(proto), transport+at, uint32(got), uint32(repaired(got, s)))
		}
	}
	return bad
}

// ChecksumError is a checksum that is wrong.
type ChecksumError struct {
	Header    string
	At        int // in the packet, from its IP header
	Got, Want uint32
}

func (e *ChecksumError) Error() string {
	return fmt.Sprintf("%s checksum at byte %d is 0x%04x and should be 0x%04x", e.Header, e.At, e.Got, e.Want)
}

func nameOf(p packet.Protocol) string {
	return map[packet.Protocol]string{packet.TCP: "TCP", packet.UDP: "UDP", packet.ICMP: "ICMP", packet.ICMPv6: "ICMPv6", packet.SCTP: "SCTP"}[p]
}

// sum adds 16-bit words in one's complement, unfolded (RFC 1071).
func sum(s uint32, b []byte) uint32 {
	for len(b) >= 2 {
		s += uint32(b[0])<<8 | uint32(b[1])
		b = b[2:]
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// repaired is the checksum that makes a sum, which the wrong one is part of, come out as all ones.
func repaired(got, s uint16) uint16 { return ^fold(uint32(s) + uint32(^got)) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sctpSum is the CRC32c of a packet with zeros for its checksum (RFC 9260, section 6.8).
func sctpSum(t []byte) uint32 {
	c := crc32.Update(0, castagnoli, t[:8])
	c = crc32.Update(c, castagnoli, []byte{0, 0, 0, 0})
	return crc32.Update(c, castagnoli, t[12:])
}
