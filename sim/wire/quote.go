package wire

import (
	"encoding/binary"
	"net/netip"

	"github.com/svclab/svclab/datapath/packet"
)

// quote is where the parts of the packet quoted by an ICMP error stand, counted from its IP header.
type quote struct {
	tuple     packet.Tuple
	transport int
}

// quotedTuple reads the packet that an ICMP error is about; it is invalid where too little of it is quoted, and then no
// connection is found for the error (net/netfilter/nf_conntrack_proto_icmp.c, nf_conntrack_inet_error).
func quotedTuple(b []byte) packet.Tuple {
	q, _ := quoteOf(b)
	return q.tuple
}

func quoteOf(b []byte) (q quote, ok bool) {
	var src, dst netip.Addr
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		q.transport = int(b[0]&15) * 4
		if q.transport < 20 || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
			return quote{}, false
		}
		q.tuple.Proto = packet.Protocol(b[9])
		src, dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	case len(b) >= 40 && b[0]>>4 == 6:
		x, err := extensions(b[6], b[40:], 0)
		if err != nil || x.fragment != 0 {
			return quote{}, false
		}
		q.transport, q.tuple.Proto = 40+x.bytes, x.proto
		src, dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	default:
		return quote{}, false
	}
	if len(b) < q.transport+8 {
		return quote{}, false
	}
	t := b[q.transport:]
	var s, d uint16
	switch q.tuple.Proto {
	case packet.TCP, packet.UDP, packet.SCTP:
		s, d = binary.BigEndian.Uint16(t), binary.BigEndian.Uint16(t[2:])
	case packet.ICMP, packet.ICMPv6:
		s, d = binary.BigEndian.Uint16(t[4:]), binary.BigEndian.Uint16(t)
	}
	q.tuple.Src, q.tuple.Dst = netip.AddrPortFrom(src, s), netip.AddrPortFrom(dst, d)
	return q, true
}
