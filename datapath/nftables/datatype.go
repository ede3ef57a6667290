package nftables

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DataType is the type of a value, by nft's name.
type DataType string

// The data types.
const (
	TypeIPv4     DataType = "ipv4_addr"
	TypeIPv6     DataType = "ipv6_addr"
	TypeProto    DataType = "inet_proto"
	TypePort     DataType = "inet_service"
	TypeMark     DataType = "mark"
	TypeIfname   DataType = "ifname"
	TypeIfindex  DataType = "iface_index"
	TypeEther    DataType = "ether_addr"
	TypeEtherTyp DataType = "ether_type"
	TypeInteger  DataType = "integer"
	TypeVerdict  DataType = "verdict"
	TypeCTState  DataType = "ct_state"
	TypeCTStatus DataType = "ct_status"
	TypeCTDir    DataType = "ct_dir"
	TypeFIBAddr  DataType = "fib_addrtype"
	TypeICMP     DataType = "icmp_type"
	TypeICMPv6   DataType = "icmpv6_type"
	TypeNFProto  DataType = "nf_proto"
	TypePkt      DataType = "pkt_type"
	TypeUID      DataType = "uid"
	TypeGID      DataType = "gid"
)

// symbol is a name for a number.
type symbol struct {
	name  string
	value uint64
}

// symbols are the names nft prints in place of numbers; the first of several for one number is printed.
var symbols = map[DataType][]symbol{
	TypeProto: {{"tcp", 6}, {"udp", 17}, {"udplite", 136}, {"esp", 50}, {"ah", 51}, {"icmp", 1}, {"icmpv6", 58}, {"ipv6-icmp", 58},
		{"comp", 108}, {"dccp", 33}, {"sctp", 132}, {"gre", 47}, {"igmp", 2}},
	TypeCTState:  {{"invalid", 1}, {"established", 2}, {"related", 4}, {"new", 8}, {"untracked", 64}},
	TypeCTStatus: {{"expected", 1}, {"seen-reply", 2}, {"assured", 4}, {"confirmed", 8}, {"snat", 16}, {"dnat", 32}, {"dying", 512}},
	TypeCTDir:    {{"original", 0}, {"reply", 1}},
	TypeFIBAddr: {{"unspec", 0}, {"unicast", 1}, {"local", 2}, {"broadcast", 3}, {"anycast", 4}, {"multicast", 5}, {"blackhole", 6},
		{"unreachable", 7}, {"prohibit", 8}},
	TypeICMP: {{"echo-reply", 0}, {"destination-unreachable", 3}, {"source-quench", 4}, {"redirect", 5}, {"echo-request", 8},
		{"router-advertisement", 9}, {"router-solicitation", 10}, {"time-exceeded", 11}, {"parameter-problem", 12},
		{"timestamp-request", 13}, {"timestamp-reply", 14}, {"info-request", 15}, {"info-reply", 16}, {"address-mask-request", 17},
		{"address-mask-reply", 18}},
	TypeICMPv6: {{"destination-unreachable", 1}, {"packet-too-big", 2}, {"time-exceeded", 3}, {"parameter-problem", 4},
		{"echo-request", 128}, {"echo-reply", 129}, {"mld-listener-query", 130}, {"mld-listener-report", 131},
		{"mld-listener-done", 132}, {"nd-router-solicit", 133}, {"nd-router-advert", 134}, {"nd-neighbor-solicit", 135},
		{"nd-neighbor-advert", 136}, {"nd-redirect", 137}, {"mld2-listener-report", 143}},
	TypeNFProto:  {{"ipv4", 2}, {"ipv6", 10}},
	TypePkt:      {{"host", 0}, {"unicast", 0}, {"broadcast", 1}, {"multicast", 2}, {"other", 3}},
	TypeEtherTyp: {{"ip", 0x0800}, {"arp", 0x0806}, {"ip6", 0x86dd}, {"vlan", 0x8100}},
}

// bits is the width of numbers of a type; 0 where values are not numbers.
func (t DataType) bits() int {
	switch t {
	case TypeProto, TypeICMP, TypeICMPv6, TypeNFProto, TypePkt, TypeCTDir:
		return 8
	case TypePort, TypeEtherTyp:
		return 16
	case TypeMark, TypeInteger, TypeCTState, TypeCTStatus, TypeFIBAddr, TypeIfindex, TypeUID, TypeGID:
		return 32
	}
	return 0
}

// flags reports whether values of the type are sets of bits, written with commas and matched by any of them.
func (t DataType) flags() bool { return t == TypeCTState || t == TypeCTStatus }

// known reports whether sets may be declared with the type.
func (t DataType) known() bool {
	switch t {
	case TypeIPv4, TypeIPv6, TypeIfname, TypeEther, TypeVerdict:
		return true
	}
	return t.bits() > 0
}

// Value is one value. The zero Value is invalid. Values are comparable.
type Value struct {
	Type DataType
	Addr netip.Addr // of ipv4_addr and ipv6_addr
	Num  uint64     // of everything that is a number
	Text string     // of ifname (a final * stands for any rest), ether_addr, and iface_index, which is resolved when loaded
}

// Interval is the values from Lo to Hi, both included; a single value is one with both the same.
type Interval struct{ Lo, Hi Value }

func single(v Value) Interval { return Interval{v, v} }

// Single reports whether the interval is one value.
func (i Interval) Single() bool { return i.Lo == i.Hi }

func number(s string) (uint64, bool) {
	base := 10
	if rest, ok := strings.CutPrefix(s, "0x"); ok {
		s, base = rest, 16
	}
	if s == "" || s[0] == '+' || s[0] == '-' || s[0] == '_' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, base, 64)
	return n, err == nil
}

// parseValue reads one value of a type.
func parseValue(t DataType, s string) (Value, error) {
	fault := &ValueError{Text: s, Type: t}
	v := Value{Type: t}
	switch t {
	case TypeIPv4, TypeIPv6:
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" || a.Is4() != (t == TypeIPv4) {
			return v, fault
		}
		v.Addr = a
		return v, nil
	case TypeIfname, TypeIfindex:
		if s == "" || len(s) > 16 || strings.ContainsAny(s, "/ \t") {
			return v, fault
		}
		v.Text = s
		return v, nil
	case TypeEther:
		parts := strings.Split(s, ":")
		if len(parts) != 6 {
			return v, fault
		}
		for _, p := range parts {
			if _, err := strconv.ParseUint(p, 16, 8); err != nil || len(p) > 2 {
				return v, fault
			}
		}
		v.Text = strings.ToLower(s)
		return v, nil
	}
	for _, y := range symbols[t] {
		if y.name == s {
			v.Num = y.value
			return v, nil
		}
	}
	n, ok := number(s)
	if b := t.bits(); !ok || b == 0 || n>>b != 0 {
		return v, fault
	}
	v.Num = n
	return v, nil
}

// parseInterval reads a value, a prefix `10.0.0.0/8` or a range `80-90`.
func parseInterval(t DataType, s string) (Interval, error) {
	if (t == TypeIPv4 || t == TypeIPv6) && strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		if err != nil || p.Addr().Is4() != (t == TypeIPv4) {
			return Interval{}, &ValueError{Text: s, Type: t}
		}
		p = p.Masked()
		return Interval{Value{Type: t, Addr: p.Addr()}, Value{Type: t, Addr: lastOf(p)}}, nil
	}
	if lo, hi, ok := strings.Cut(s, "-"); ok && (t == TypeIPv4 || t == TypeIPv6 || t.bits() > 0) && !isSymbol(t, s) {
		a, err := parseValue(t, lo)
		if err != nil {
			return Interval{}, err
		}
		b, err := parseValue(t, hi)
		if err != nil {
			return Interval{}, err
		}
		if compareValues(a, b) > 0 {
			return Interval{}, &ValueError{Text: s, Type: t}
		}
		return Interval{a, b}, nil
	}
	v, err := parseValue(t, s)
	return single(v), err
}

func isSymbol(t DataType, s string) bool {
	return slices.ContainsFunc(symbols[t], func(y symbol) bool { return y.name == s })
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// prefixOf is the prefix that holds exactly the addresses from lo to hi, if there is one.
func prefixOf(lo, hi netip.Addr) (netip.Prefix, bool) {
	a, b := lo.AsSlice(), hi.AsSlice()
	n := 0
	for n < len(a)*8 && (a[n/8]^b[n/8])&(0x80>>(n%8)) == 0 {
		n++
	}
	p := netip.PrefixFrom(lo, n)
	return p, p.Masked().Addr() == lo && lastOf(p) == hi
}

func compareValues(a, b Value) int {
	if a.Addr.IsValid() {
		return a.Addr.Compare(b.Addr)
	}
	if a.Num != b.Num {
		if a.Num < b.Num {
			return -1
		}
		return 1
	}
	return compareNames(a.Text, b.Text)
}

// compareNames compares names of interfaces as nft sorts them: as numbers in the byte order of most machines, the last letter
// the most significant.
func compareNames(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	for i := len(a) - 1; i >= 0; i-- {
		if a[i] != b[i] {
			return int(a[i]) - int(b[i])
		}
	}
	return 0
}

// follows reports whether b is the value right after a.
func follows(a, b Value) bool {
	if a.Addr.IsValid() {
		return a.Addr.Next() == b.Addr
	}
	return a.Text == "" && a.Num+1 == b.Num
}

func (v Value) String() string { return v.text(false) }

func (v Value) text(native bool) string {
	if v.Addr.IsValid() {
		return v.Addr.String()
	}
	switch v.Type {
	case TypeIfname, TypeIfindex:
		if native {
			return v.Text
		}
		return `"` + v.Text + `"`
	case TypeEther:
		return v.Text
	case TypeMark:
		if native && v.Num == 0 {
			return "0"
		}
		return mark(v.Num)
	}
	if v.Type.flags() {
		if s, ok := v.flagText(); ok {
			return s
		}
		return mark(v.Num)
	}
	for _, y := range symbols[v.Type] {
		if y.value == v.Num {
			return y.name
		}
	}
	return strconv.FormatUint(v.Num, 10)
}

func (v Value) flagText() (string, bool) {
	var names []string
	left := v.Num
	for _, y := range symbols[v.Type] {
		if left&y.value != 0 {
			names = append(names, y.name)
			left &^= y.value
		}
	}
	return strings.Join(names, ","), left == 0 && len(names) > 0
}

func mark(n uint64) string {
	s := strconv.FormatUint(n, 16)
	return "0x" + strings.Repeat("0", max(0, 8-len(s))) + s
}

func (i Interval) text(native bool) string {
	if i.Single() {
		return i.Lo.text(native)
	}
	if i.Lo.Addr.IsValid() {
		if p, ok := prefixOf(i.Lo.Addr, i.Hi.Addr); ok {
			return p.String()
		}
	}
	return i.Lo.text(native) + "-" + i.Hi.text(native)
}

// durationText spells a time as nft lists it: 1h30m, 10m, 1d.
func durationText(d time.Duration) string {
	ms := d.Milliseconds()
	if ms == 0 {
		return "0s"
	}
	var b strings.Builder
	for _, u := range [...]struct {
		name string
		ms   int64
	}{{"d", 86400_000}, {"h", 3600_000}, {"m", 60_000}, {"s", 1000}, {"ms", 1}} {
		if n := ms / u.ms; n > 0 {
			b.WriteString(strconv.FormatInt(n, 10) + u.name)
			ms -= n * u.ms
		}
	}
	return b.String()
}

// parseDuration reads 1d2h3m4s5ms, or a number of seconds.
func parseDuration(s string) (time.Duration, bool) {
	if n, ok := number(s); ok && n < 1<<32 {
		return time.Duration(n) * time.Second, true
	}
	var d time.Duration
	for rest := s; rest != ""; {
		n := 0
		for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
			n++
		}
		count, err := strconv.ParseUint(rest[:n], 10, 32)
		if err != nil {
			return 0, false
		}
		m := n
		for m < len(rest) && (rest[m] < '0' || rest[m] > '9') {
			m++
		}
		unit, ok := map[string]time.Duration{"d": 24 * time.Hour, "h": time.Hour, "m": time.Minute, "s": time.Second, "ms": time.Millisecond}[rest[n:m]]
		if !ok || count > uint64(1<<62/unit) {
			return 0, false
		}
		d += time.Duration(count) * unit
		if d < 0 {
			return 0, false
		}
		rest = rest[m:]
	}
	return d, s != ""
}
