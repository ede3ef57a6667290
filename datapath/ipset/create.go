package ipset

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// headerOrder is the order in which ipset save prints the options of create.
var headerOrder = []string{
	"family", "range", "hashsize", "maxelem", "size", "markmask", "netmask", "bitmask", "timeout", "counters", "comment", "forceadd",
	"skbinfo", "bucketsize", "initval",
}

// headerFlags are those of them without a value.
var headerFlags = map[string]bool{"counters": true, "comment": true, "forceadd": true, "skbinfo": true}

func (st *Store) create(name string, typ Type, args []string, exist bool) error {
	if err := checkName(name); err != nil {
		return err
	}
	if alias, ok := map[Type]Type{"iphash": HashIP, "nethash": HashNet, "portmap": BitmapPort, "setlist": ListSet}[typ]; ok {
		typ = alias
	}
	if _, ok := typeParts[typ]; !ok {
		return &SyntaxError{"type", string(typ), "unknown or not modelled"}
	}
	s := &Set{Name: name, Type: typ, mask: -1}
	s.flush()
	given := map[string]string{}
	for i := 0; i < len(args); i++ {
		o := args[i]
		if o == "-4" || o == "-6" {
			given["family"] = map[string]string{"-4": "inet", "-6": "inet6"}[o]
			continue
		}
		if headerFlags[o] {
			given[o] = ""
			continue
		}
		known := false
		for _, n := range headerOrder {
			known = known || n == o
		}
		if !known {
			return &SyntaxError{"option", o, "unknown"}
		}
		if i++; i == len(args) {
			return &SyntaxError{"option", o, "missing value"}
		}
		given[o] = args[i]
	}
	if err := s.options(given); err != nil {
		return err
	}
	for _, n := range headerOrder {
		if v, ok := given[n]; ok {
			s.header = append(s.header, headerOption{n, v})
		}
	}
	if old := st.sets[name]; old != nil {
		if exist && old.Type == s.Type && old.Family == s.Family && slices.Equal(old.kind(), s.kind()) {
			return nil
		}
		return ErrSetExists
	}
	st.sets[name] = s
	st.order = append(st.order, name)
	return nil
}

// kind is what create -exist compares: neither the size of the hash nor what only speeds it up
// (net/netfilter/ipset/ip_set_hash_gen.h, mtype_same_set).
func (s *Set) kind() []headerOption {
	return slices.DeleteFunc(slices.Clone(s.header), func(o headerOption) bool {
		switch o.name {
		case "hashsize", "bucketsize", "initval", "size", "forceadd":
			return true
		}
		return false
	})
}

// options checks the options of create and fills in defaults.
func (s *Set) options(given map[string]string) error {
	number := func(name string, most uint64) (uint64, error) {
		n, err := strconv.ParseUint(given[name], 0, 64)
		if err != nil || n > most {
			return 0, &SyntaxError{name, given[name], "not a number, or out of range"}
		}
		return n, nil
	}
	fill := func(name, v string) {
		if _, ok := given[name]; !ok {
			given[name] = v
		}
	}
	if s.Type.isFamily() {
		fill("family", "inet")
		switch given["family"] {
		case "inet", "ipv4":
			s.Family, given["family"] = packet.IPv4, "inet"
		case "inet6", "ipv6":
			s.Family, given["family"] = packet.IPv6, "inet6"
		default:
			return &SyntaxError{"family", given["family"], "inet and inet6 are known"}
		}
	}
	switch {
	case s.Type.isHash():
		fill("hashsize", "1024")
		fill("maxelem", "65536")
		n, err := number("maxelem", 1<<32-1)
		if err != nil {
			return err
		}
		s.max = int(n)
		if _, err := number("hashsize", 1<<32-1); err != nil {
			return err
		}
	case s.Type == ListSet:
		fill("size", "8")
	default:
		if err := s.setRange(given); err != nil {
			return err
		}
	}
	if _, ok := given["netmask"]; ok {
		n, err := number("netmask", 128)
		if err != nil || n == 0 || s.Family == packet.IPv4 && n > 32 {
			return &SyntaxError{"netmask", given["netmask"], "out of range"}
		}
		s.mask = int(n)
	}
	if _, ok := given["timeout"]; ok {
		n, err := number("timeout", 2147483)
		if err != nil {
			return err
		}
		s.timed, s.expiry = true, time.Duration(n)*time.Second
	}
	return nil
}

func (s *Set) setRange(given map[string]string) error {
	r, ok := given["range"]
	bad := &SyntaxError{"range", r, "not a range, or missing"}
	if !ok {
		return bad
	}
	lo, hi, isRange := strings.Cut(r, "-")
	if s.Type == BitmapPort {
		x, err1 := strconv.ParseUint(lo, 10, 16)
		y, err2 := strconv.ParseUint(hi, 10, 16)
		if !isRange || err1 != nil || err2 != nil || x > y {
			return bad
		}
		s.lo, s.hi = x, y
		return nil
	}
	if p, err := netip.ParsePrefix(r); err == nil && p.Addr().Is4() {
		s.lo = v4(p.Masked().Addr())
		s.hi = s.lo | (1<<(32-p.Bits()) - 1)
	} else {
		a, err1 := netip.ParseAddr(lo)
		b, err2 := netip.ParseAddr(hi)
		if err1 != nil || err2 != nil || !a.Is4() || !b.Is4() || b.Less(a) {
			return bad
		}
		s.lo, s.hi = v4(a), v4(b)
	}
	if s.hi-s.lo > 65535 {
		return &SyntaxError{"range", r, "more than 65536 addresses"}
	}
	given["range"] = addr4(s.lo).String() + "-" + addr4(s.hi).String()
	return nil
}

func v4(a netip.Addr) uint64 {
	b := a.As4()
	return uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
}

func addr4(n uint64) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}
