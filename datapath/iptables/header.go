package iptables

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/svclab/svclab/datapath/packet"
)

// parseAddresses reads the argument of -s or -d: one or more addresses or networks, comma-separated.
// Host and network names are refused, as there is no resolver here.
func parseAddresses(opt, arg string, f packet.Family, invert bool) ([]Address, error) {
	if strings.IndexByte(arg, ',') < 0 {
		a, err := parseAddress(opt, arg, f)
		a.Invert = invert
		return []Address{a}, err
	}
	if invert {
		return nil, refuse(opt, "! is not allowed with several addresses", arg)
	}
	var as []Address
	for s := range strings.SplitSeq(arg, ",") {
		a, err := parseAddress(opt, s, f)
		if err != nil {
			return nil, err
		}
		as = append(as, a)
	}
	if len(as) == 0 {
		return nil, refuse(opt, "no address", arg)
	}
	return as, nil
}

func parseAddress(opt, s string, f packet.Family) (Address, error) {
	host, mask, masked := strings.Cut(s, "/")
	a, ok := parseHost(host, f, true)
	if !ok {
		if v6, err := netip.ParseAddr(host); err == nil && packet.FamilyOf(v6) != f {
			return Address{}, refuse(opt, "not an "+f.String()+" address", s)
		}
		return Address{}, refuse(opt, "not an address (host names are not resolved)", s)
	}
	m := fullMask(f)
	if masked {
		if m, ok = parseMask(mask, f); !ok {
			return Address{}, refuse(opt, "invalid mask", s)
		}
	}
	return Address{Addr: maskAddr(a, m), Mask: m}, nil
}

// parseHost reads one address; short allows "10" and "10.1" for 10.0.0.0 and 10.1.0.0
// (libxtables, __numeric_to_ipaddr).
func parseHost(s string, f packet.Family, short bool) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a, packet.FamilyOf(a) == f && a.Zone() == ""
	}
	if f != packet.IPv4 || !short || len(s) > 15 {
		return netip.Addr{}, false
	}
	var b [4]byte
	for i, p := range strings.Split(s, ".") {
		n, ok := parseUint(p, 255)
		if !ok || i > 3 {
			return netip.Addr{}, false
		}
		b[i] = byte(n)
	}
	return netip.AddrFrom4(b), true
}

func parseMask(s string, f packet.Family) (netip.Addr, bool) {
	if n, ok := parseUint(s, uint64(addrBits(f))); ok {
		return prefixMask(int(n), f), true
	}
	a, err := netip.ParseAddr(s)
	return a, err == nil && packet.FamilyOf(a) == f && a.Zone() == ""
}

func addrBits(f packet.Family) int {
	if f == packet.IPv4 {
		return 32
	}
	return 128
}

func fullMask(f packet.Family) netip.Addr { return prefixMask(addrBits(f), f) }

func prefixMask(n int, f packet.Family) netip.Addr {
	var b [16]byte
	for i := range b {
		k := min(max(n-8*i, 0), 8)
		b[i] = byte(uint(0xff00) >> k)
	}
	if f == packet.IPv4 {
		return netip.AddrFrom4([4]byte(b[:4]))
	}
	return netip.AddrFrom16(b)
}

func maskAddr(a, m netip.Addr) netip.Addr {
	if a.Is4() {
		x, y := a.As4(), m.As4()
		for i := range x {
			x[i] &= y[i]
		}
		return netip.AddrFrom4(x)
	}
	x, y := a.As16(), m.As16()
	for i := range x {
		x[i] &= y[i]
	}
	return netip.AddrFrom16(x)
}

// prefixLength is the length of a contiguous mask, -1 for another.
func prefixLength(m netip.Addr) int {
	n, zero := 0, false
	for _, b := range m.AsSlice() {
		for i := 7; i >= 0; i-- {
			switch set := b>>i&1 == 1; {
			case set && zero:
				return -1
			case set:
				n++
			default:
				zero = true
			}
		}
	}
	return n
}

// appendAddr appends an address as inet_ntop spells it, which for ::a.b.c.d differs from netip.
func appendAddr(b []byte, a netip.Addr) []byte {
	if a.Is6() {
		x := a.As16()
		if [12]byte(x[:12]) == ([12]byte{}) && (x[12] != 0 || x[13] != 0) {
			b = append(b, "::"...)
			return netip.AddrFrom4([4]byte(x[12:])).AppendTo(b)
		}
	}
	return a.AppendTo(b)
}

func (a Address) append(b []byte, opt string) []byte {
	if a.any() {
		return b
	}
	n := prefixLength(a.Mask)
	if n == 0 && !a.Invert && a.Addr.IsUnspecified() {
		return b
	}
	if a.Invert {
		b = append(b, " !"...)
	}
	b = append(b, opt...)
	b = appendAddr(b, a.Addr)
	b = append(b, '/')
	if n < 0 {
		return appendAddr(b, a.Mask)
	}
	return strconv.AppendInt(b, int64(n), 10)
}

func (i Interface) append(b []byte, opt string) []byte {
	if i.Name == "" || i.Name == "+" {
		return b
	}
	if i.Invert {
		b = append(b, " !"...)
	}
	b = append(b, opt...)
	if strings.ContainsAny(i.Name, " \t") { // iptables-save does not quote, and cannot be read again
		return append(append(append(b, '"'), i.Name...), '"')
	}
	return append(b, i.Name...)
}

func (h *Header) append(b []byte) []byte {
	b = h.Src.append(b, " -s ")
	b = h.Dst.append(b, " -d ")
	b = h.In.append(b, " -i ")
	b = h.Out.append(b, " -o ")
	if h.Proto != 0 {
		if h.NotProto {
			b = append(b, " !"...)
		}
		b = append(b, " -p "...)
		b = append(b, protocolName(h.Proto)...)
	}
	switch {
	case h.NotFrag:
		b = append(b, " ! -f"...)
	case h.Fragment:
		b = append(b, " -f"...)
	}
	return b
}

// parseInterface reads the argument of -i or -o (libxtables, xtables_parse_interface).
func parseInterface(opt, s string, invert bool) (Interface, error) {
	const most = 15 // IFNAMSIZ-1
	if len(s) > most {
		return Interface{}, refuse(opt, "interface names have at most 15 characters", s)
	}
	if s == "" && (opt == "-i" || opt == "-o") {
		return Interface{}, refuse(opt, "empty interface name is likely to be undesired", s)
	}
	if strings.ContainsAny(s, "\"\\\n\r\x00") { // blanks and slashes are a warning only
		return Interface{}, refuse(opt, "not an interface name", s)
	}
	return Interface{Name: s, Invert: invert}, nil
}
