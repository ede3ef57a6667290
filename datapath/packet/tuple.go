package packet

import "net/netip"

// Tuple is one direction of a flow, the key of connection tracking. It is comparable. For ICMP the source port
// is the identifier and the destination port is type<<8|code. The zero value is invalid.
type Tuple struct {
	Src, Dst netip.AddrPort
	Proto    Protocol
}

// IsValid reports whether the tuple holds addresses.
func (t Tuple) IsValid() bool { return t.Dst.Addr().IsValid() }

// Reverse returns the tuple of the opposite direction. ICMP request types become their reply types
// (net/netfilter/nf_conntrack_proto_icmp.c, nf_conntrack_invert_icmp_tuple).
func (t Tuple) Reverse() Tuple {
	switch t.Proto {
	case ICMP, ICMPv6:
		typ, code := uint8(t.Dst.Port()>>8), t.Dst.Port()&0xff
		return Tuple{
			Src:   netip.AddrPortFrom(t.Dst.Addr(), t.Src.Port()),
			Dst:   netip.AddrPortFrom(t.Src.Addr(), uint16(icmpOpposite(t.Proto, typ))<<8|code),
			Proto: t.Proto,
		}
	}
	return Tuple{Src: t.Dst, Dst: t.Src, Proto: t.Proto}
}

func icmpOpposite(p Protocol, typ uint8) uint8 {
	if p == ICMPv6 {
		switch typ {
		case 128:
			return 129
		case 129:
			return 128
		}
		return typ
	}
	switch typ {
	case 8:
		return 0
	case 0:
		return 8
	case 13:
		return 14
	case 14:
		return 13
	case 15:
		return 16
	case 16:
		return 15
	case 17:
		return 18
	case 18:
		return 17
	}
	return typ
}

func (t Tuple) String() string {
	return t.Proto.String() + " " + t.Src.String() + " > " + t.Dst.String()
}
