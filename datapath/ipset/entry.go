package ipset

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// mostEntries bounds what one add with ranges may expand to.
const mostEntries = 65536

// change carries out add ('a'), del ('d') or test ('t') of one entry text with its options.
func (st *Store) change(s *Set, now time.Duration, op byte, text string, args []string, exist bool) error {
	x := element{}
	if s.timed {
		x.given = s.expiry
	}
	before := ""
	for i := 0; i < len(args); i++ {
		o := args[i]
		if o == "nomatch" {
			x.nomatch = true
			continue
		}
		if i++; i == len(args) {
			return &SyntaxError{"option", o, "missing value, or unknown"}
		}
		switch v := args[i]; o {
		case "timeout":
			n, err := strconv.ParseUint(v, 10, 32)
			if err != nil || !s.timed {
				return &SyntaxError{"timeout", v, "not a number, or the set has no timeouts"}
			}
			x.given = time.Duration(n) * time.Second
		case "comment":
			x.comment, x.hasNote = v, true
		case "packets", "bytes", "skbmark", "skbprio", "skbqueue":
			x.extra = append(x.extra, o, v)
		case "before", "after":
			before = o + " " + v
		default:
			return &SyntaxError{"option", o, "unknown"}
		}
	}
	if x.given > 0 {
		x.expires = now + x.given
	}
	entries, err := s.parse(text)
	if err != nil {
		return err
	}
	s.expire(now)
	for _, e := range entries {
		if s.Type == ListSet && st.sets[e.Member] == nil {
			return ErrNoSet
		}
		y := x
		y.Entry = e
		switch old := s.get(e, now); {
		case op == 't' && old == nil, op == 'd' && old == nil && !exist:
			return ErrNoEntry
		case op == 't':
		case op == 'd':
			s.remove(e)
		case old != nil && !exist:
			return ErrEntryExists
		case old == nil && s.max > 0 && s.live >= s.max:
			return ErrFull
		default:
			s.put(&y, now)
			s.place(e, before)
		}
	}
	return nil
}

// place moves a list's new member in front of or behind another.
func (s *Set) place(e Entry, where string) {
	how, name, ok := strings.Cut(where, " ")
	j, found := s.index[Entry{Member: name}]
	if !ok || !found || s.Type != ListSet {
		return
	}
	x := s.entries[s.index[e]]
	rest := append([]*element{}, s.entries[:len(s.entries)-1]...)
	if how == "after" {
		j++
	}
	s.entries = append(append(append([]*element{}, rest[:j]...), x), rest[j:]...)
	for i, y := range s.entries {
		if y != nil {
			s.index[y.Entry] = i
		}
	}
}

// parse reads an entry; ranges of addresses and ports make several.
func (s *Set) parse(text string) ([]Entry, error) {
	if s.Type == ListSet {
		return []Entry{{Member: text}}, checkName(text)
	}
	parts := typeParts[s.Type]
	words := strings.SplitN(text, ",", len(parts))
	if len(words) < len(parts) {
		return nil, &SyntaxError{"entry", text, "an element of it is missing"}
	}
	out := []Entry{{}}
	for i, p := range parts {
		var err error
		if out, err = s.parsePart(out, p, words[i], i > 0); err != nil {
			return nil, err
		}
		if len(out) > mostEntries {
			return nil, &SyntaxError{"entry", text, "expands to more than 65536 entries"}
		}
	}
	return out, nil
}

// parsePart sets one part of every entry, and multiplies them where it is a range.
func (s *Set) parsePart(in []Entry, p part, w string, second bool) ([]Entry, error) {
	switch p {
	case partIP, partNet:
		ps, err := s.addresses(w, p == partNet)
		if err != nil {
			return nil, err
		}
		return multiply(in, len(ps), func(e *Entry, i int) {
			if second {
				e.B = ps[i]
			} else {
				e.A = ps[i]
			}
		})
	case partPort:
		proto, lo, hi, err := s.ports(w)
		if err != nil {
			return nil, err
		}
		return multiply(in, int(hi-lo)+1, func(e *Entry, i int) { e.Proto, e.Port = proto, lo+uint16(i) })
	case partIface:
		name, phys := strings.CutPrefix(w, "physdev:")
		if name == "" || len(name) > 15 {
			return nil, &SyntaxError{"interface", w, "must have 1 to 15 characters"}
		}
		return multiply(in, 1, func(e *Entry, _ int) { e.Iface, e.Physdev = name, phys })
	case partMark:
		n, err := strconv.ParseUint(w, 0, 32)
		if err != nil {
			return nil, &SyntaxError{"mark", w, "not a number"}
		}
		return multiply(in, 1, func(e *Entry, _ int) { e.Mark = uint32(n) })
	}
	var m packet.MAC
	for i := range m {
		bad := len(w) != 17 || i > 0 && w[3*i-1] != ':'
		if !bad {
			n, err := strconv.ParseUint(w[3*i:3*i+2], 16, 8)
			m[i], bad = byte(n), err != nil
		}
		if bad {
			return nil, &SyntaxError{"MAC", w, "not an address"}
		}
	}
	return multiply(in, 1, func(e *Entry, _ int) { e.MAC = m })
}

func multiply(in []Entry, n int, set func(*Entry, int)) ([]Entry, error) {
	if n == 1 {
		for i := range in {
			set(&in[i], 0)
		}
		return in, nil
	}
	if len(in)*n > mostEntries {
		return nil, &SyntaxError{"entry", strconv.Itoa(len(in) * n), "so many entries in one command"}
	}
	out := make([]Entry, 0, len(in)*n)
	for _, e := range in {
		for i := range n {
			k := e
			set(&k, i)
			out = append(out, k)
		}
	}
	return out, nil
}

// addresses reads an address, a network or a range.
func (s *Set) addresses(w string, isNet bool) ([]netip.Prefix, error) {
	bad := &SyntaxError{"address", w, "not an address of the set's family (names are not resolved)"}
	want := s.Family
	if want == 0 {
		want = packet.IPv4
	}
	w = strings.Trim(w, "[]")
	if lo, hi, ok := strings.Cut(w, "-"); ok {
		a, err1 := netip.ParseAddr(lo)
		b, err2 := netip.ParseAddr(hi)
		if err1 != nil || err2 != nil || !a.Is4() || !b.Is4() || want != packet.IPv4 || b.Less(a) {
			return nil, bad
		}
		if isNet {
			return networks(v4(a), v4(b)), nil
		}
		return s.hosts(v4(a), v4(b))
	}
	host, length, hasLength := strings.Cut(w, "/")
	a, err := netip.ParseAddr(host)
	if err != nil || packet.FamilyOf(a) != want || a.Zone() != "" {
		return nil, bad
	}
	n := a.BitLen()
	if hasLength {
		k, err := strconv.Atoi(length)
		if err != nil || k < 0 || k > n || k == 0 && s.Type != "hash:net,iface" {
			return nil, &SyntaxError{"prefix length", w, "invalid"}
		}
		n = k
	}
	p := netip.PrefixFrom(a, n).Masked()
	if isNet || n == a.BitLen() {
		if !isNet && s.mask >= 0 {
			p = netip.PrefixFrom(netip.PrefixFrom(a, s.mask).Masked().Addr(), a.BitLen())
		}
		return s.inRange([]netip.Prefix{p})
	}
	if want != packet.IPv4 {
		return nil, &SyntaxError{"address", w, "networks cannot be added to sets of IPv6 addresses"}
	}
	first := v4(p.Addr())
	return s.hosts(first, first|(1<<(32-n)-1))
}

func (s *Set) hosts(lo, hi uint64) ([]netip.Prefix, error) {
	if hi-lo >= mostEntries {
		return nil, &SyntaxError{"range", addr4(lo).String() + "-" + addr4(hi).String(), "more than 65536 addresses"}
	}
	var out []netip.Prefix
	seen := map[netip.Addr]bool{}
	for n := lo; n <= hi; n++ {
		a := addr4(n)
		if s.mask >= 0 {
			a = netip.PrefixFrom(a, s.mask).Masked().Addr()
			if seen[a] {
				continue
			}
			seen[a] = true
		}
		out = append(out, netip.PrefixFrom(a, 32))
	}
	return s.inRange(out)
}

func (s *Set) inRange(ps []netip.Prefix) ([]netip.Prefix, error) {
	if s.Type == "bitmap:ip" {
		for _, p := range ps {
			if n := v4(p.Addr()); n < s.lo || n > s.hi {
				return nil, &SyntaxError{"address", p.Addr().String(), "out of the set's range"}
			}
		}
	}
	return ps, nil
}

// networks covers a range of addresses with as few networks as there can be.
func networks(lo, hi uint64) []netip.Prefix {
	var out []netip.Prefix
	for lo <= hi {
		n := 32
		for n > 1 && lo&(1<<(33-n)-1) == 0 && lo|(1<<(33-n)-1) <= hi {
			n--
		}
		out = append(out, netip.PrefixFrom(addr4(lo), n))
		lo += 1 << (32 - n)
	}
	return out
}

// protocols are the names an entry's port may have in front.
var protocols = map[string]packet.Protocol{
	"tcp": packet.TCP, "udp": packet.UDP, "sctp": packet.SCTP, "icmp": packet.ICMP, "icmpv6": packet.ICMPv6,
	"ipv6-icmp": packet.ICMPv6, "udplite": 136,
}

// ports reads [proto:]port[-port].
func (s *Set) ports(w string) (p packet.Protocol, lo, hi uint16, err error) {
	bad := func(reason string) error { return &SyntaxError{"port", w, reason} }
	p = packet.TCP
	if name, rest, ok := strings.Cut(w, ":"); ok {
		if p, ok = protocols[strings.ToLower(name)]; !ok {
			n, err := strconv.ParseUint(name, 10, 8)
			if err != nil {
				return 0, 0, 0, bad("unknown protocol")
			}
			p = packet.Protocol(n)
		}
		w = rest
	}
	if p == packet.ICMP || p == packet.ICMPv6 {
		t, c, _ := strings.Cut(w, "/")
		x, err1 := strconv.ParseUint(t, 10, 8)
		y, err2 := strconv.ParseUint(c, 10, 8)
		if err1 != nil || err2 != nil {
			return 0, 0, 0, bad("ICMP wants type/code in numbers")
		}
		n := uint16(x<<8 | y)
		return p, n, n, nil
	}
	a, b, isRange := strings.Cut(w, "-")
	x, err1 := strconv.ParseUint(a, 10, 16)
	y := x
	if isRange {
		var err2 error
		if y, err2 = strconv.ParseUint(b, 10, 16); err2 != nil {
			err1 = err2
		}
	}
	if err1 != nil || x > y {
		return 0, 0, 0, bad("not a port, or out of range 0-65535")
	}
	if s.Type == BitmapPort {
		p = 0
		if x < s.lo || y > s.hi {
			return 0, 0, 0, bad("out of the set's range")
		}
	}
	return p, uint16(x), uint16(y), nil
}
