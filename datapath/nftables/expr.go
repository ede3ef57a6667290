package nftables

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Expr is a value that depends on the packet, or a constant one.
type Expr interface {
	// Types are the types of its parts: one, or several for a concatenation.
	Types() []DataType
	text(native bool) string
}

// Payload is a field of a header: `ip saddr`, `th dport`.
type Payload struct{ Proto, Field string }

// Meta is what the kernel knows of a packet beside its bytes: `meta l4proto`, `iifname`.
type Meta struct{ Key string }

// CT is a property of the packet's connection: `ct state`.
type CT struct{ Key string }

// FIB is what the routing table says of an address: `fib saddr type`.
type FIB struct {
	Flags  []string // saddr, daddr, mark, iif, oif
	Result string   // type
}

// Numgen draws a number below Mod at random, or counts round (Random false), and adds Offset.
type Numgen struct {
	Random bool
	Mod    uint32
	Offset uint32
}

// Binary is an operation on bits; Op is one of & | ^.
type Binary struct {
	Op          string
	Left, Right Expr
}

// Concat joins several expressions into one key.
type Concat struct{ Parts []Expr }

// Literal is a constant, possibly a range of them.
type Literal struct {
	Interval
	Range bool // written `a-b`, and so listed, even if it is a prefix
}

// SetRef names a set or map of the table: `@cluster-ips`.
type SetRef struct {
	Name string
	Of   []DataType // of its keys, as the rule uses it
}

// SetLiteral is a set written into the rule.
type SetLiteral struct {
	Of        []DataType
	Elements  []Element // in the order of the text
	Intervals bool      // some element was written as a prefix or a range: those that touch are one
}

// MapLookup is the value that a map, named or literal, holds for a key.
type MapLookup struct {
	Key Expr
	Map Expr       // SetRef or SetLiteral
	To  []DataType // types of the values
}

// field is the type of a header field.
var fields = map[Payload]DataType{
	{"ip", "saddr"}: TypeIPv4, {"ip", "daddr"}: TypeIPv4, {"ip", "protocol"}: TypeProto, {"ip", "ttl"}: TypeInteger,
	{"ip", "length"}: TypeInteger, {"ip", "id"}: TypeInteger, {"ip", "dscp"}: TypeInteger,
	{"ip6", "saddr"}: TypeIPv6, {"ip6", "daddr"}: TypeIPv6, {"ip6", "nexthdr"}: TypeProto, {"ip6", "hoplimit"}: TypeInteger,
	{"ip6", "length"}: TypeInteger,
	{"icmp", "type"}:  TypeICMP, {"icmp", "code"}: TypeInteger, {"icmpv6", "type"}: TypeICMPv6, {"icmpv6", "code"}: TypeInteger,
	{"ether", "saddr"}: TypeEther, {"ether", "daddr"}: TypeEther, {"ether", "type"}: TypeEtherTyp,
	{"tcp", "sport"}: TypePort, {"tcp", "dport"}: TypePort, {"udp", "sport"}: TypePort, {"udp", "dport"}: TypePort,
	{"sctp", "sport"}: TypePort, {"sctp", "dport"}: TypePort, {"dccp", "sport"}: TypePort, {"dccp", "dport"}: TypePort,
	{"udplite", "sport"}: TypePort, {"udplite", "dport"}: TypePort, {"th", "sport"}: TypePort, {"th", "dport"}: TypePort,
	{"udp", "length"}: TypeInteger,
}

var metas = map[string]DataType{
	"mark": TypeMark, "iifname": TypeIfname, "oifname": TypeIfname, "iif": TypeIfindex, "oif": TypeIfindex, "l4proto": TypeProto,
	"nfproto": TypeNFProto, "protocol": TypeEtherTyp, "pkttype": TypePkt, "skuid": TypeUID, "skgid": TypeGID, "length": TypeInteger,
	"cpu": TypeInteger, "priority": TypeInteger,
}

// bare are the meta keys that nft prints, and reads, without the word meta; kube-proxy writes mark without it too.
var bare = []string{"iif", "oif", "iifname", "oifname"}
var bareRead = append(slices.Clone(bare), "mark", "skuid", "skgid", "pkttype", "cpu")

var ctKeys = map[string]DataType{
	"state": TypeCTState, "status": TypeCTStatus, "mark": TypeMark, "direction": TypeCTDir,
}

// Types is the field's type.
func (e Payload) Types() []DataType { return []DataType{fields[e]} }

// Types is the key's type.
func (e Meta) Types() []DataType { return []DataType{metas[e.Key]} }

// Types is the key's type.
func (e CT) Types() []DataType { return []DataType{ctKeys[e.Key]} }

// Types is the type of addresses in the routing table.
func (e FIB) Types() []DataType { return []DataType{TypeFIBAddr} }

// Types is a number.
func (e Numgen) Types() []DataType { return []DataType{TypeInteger} }

// Types is the type of the left side.
func (e Binary) Types() []DataType { return e.Left.Types() }

// Types are those of the parts.
func (e Concat) Types() []DataType {
	var out []DataType
	for _, p := range e.Parts {
		out = append(out, p.Types()...)
	}
	return out
}

// Types is the type of the value.
func (e Literal) Types() []DataType { return []DataType{e.Lo.Type} }

// Types are those of the set's keys.
func (e SetRef) Types() []DataType { return e.Of }

// Types are those of the set's keys.
func (e SetLiteral) Types() []DataType { return e.Of }

// Types are those of the map's values.
func (e MapLookup) Types() []DataType { return e.To }

func (e Payload) text(bool) string { return e.Proto + " " + e.Field }

func (e Meta) text(native bool) string {
	if slices.Contains(bare, e.Key) || native && e.Key == "mark" {
		return e.Key
	}
	return "meta " + e.Key
}

func (e CT) text(bool) string  { return "ct " + e.Key }
func (e FIB) text(bool) string { return "fib " + strings.Join(e.Flags, " . ") + " " + e.Result }

func (e Numgen) text(bool) string {
	kind := "inc"
	if e.Random {
		kind = "random"
	}
	s := "numgen " + kind + " mod " + strconv.FormatUint(uint64(e.Mod), 10)
	if e.Offset != 0 {
		s += " offset " + strconv.FormatUint(uint64(e.Offset), 10)
	}
	return s
}

var bitWords = map[string]string{"&": "and", "|": "or", "^": "xor"}

func (e Binary) text(native bool) string {
	op := e.Op
	if native {
		op = bitWords[op]
	}
	right := e.Right.text(native)
	if l, ok := e.Right.(Literal); ok && l.Lo.Type == TypeMark {
		right = mark(l.Lo.Num) // never just 0
	}
	return e.Left.text(native) + " " + op + " " + right
}

func (e Concat) text(native bool) string {
	var parts []string
	for _, p := range e.Parts {
		parts = append(parts, p.text(native))
	}
	return strings.Join(parts, " . ")
}

func (e Literal) text(native bool) string {
	if e.Range && !e.Single() {
		return e.Lo.text(native) + "-" + e.Hi.text(native)
	}
	return e.Interval.text(native)
}

func (e SetRef) text(bool) string { return "@" + e.Name }

func (e SetLiteral) text(native bool) string {
	sep := ", "
	list := e.Elements
	if native {
		sep = " , "
	} else {
		list = normalised(list, e.Intervals)
	}
	var parts []string
	// A set of single values that was written as prefixes is no interval set unless one is written so again.
	whole := native && e.Intervals && !slices.ContainsFunc(list, func(x Element) bool { return !x.Key[0].Single() })
	for i := range list {
		text := list[i].text(native)
		if a := list[i].Key[0].Lo.Addr; whole && a.IsValid() && len(list[i].Key) == 1 {
			text = netip.PrefixFrom(a, a.BitLen()).String() + strings.TrimPrefix(text, a.String())
		}
		parts = append(parts, text)
	}
	return "{ " + strings.Join(parts, sep) + " }"
}

func (e MapLookup) text(native bool) string {
	return e.Key.text(native) + " map " + e.Map.text(native)
}

// normalised is a literal set as the kernel keeps it: doubles gone, in order of value, and where there are ranges, those that
// touch or overlap made one (nft, src/intervals.c).
func normalised(list []Element, ranges bool) []Element {
	out := slices.Clone(list)
	slices.SortStableFunc(out, compareElements)
	n := 0
	for i := range out {
		if n > 0 && compareElements(out[n-1], out[i]) == 0 && out[n-1].Key[0] == out[i].Key[0] {
			continue
		}
		if n > 0 && ranges && len(out[i].Key) == 1 && !out[i].isMap() {
			last := &out[n-1].Key[0]
			if k := out[i].Key[0]; compareValues(k.Lo, last.Hi) <= 0 || follows(last.Hi, k.Lo) {
				joined := Interval{last.Lo, last.Hi}
				if compareValues(k.Hi, joined.Hi) > 0 {
					joined.Hi = k.Hi
				}
				out[n-1].Key = []Interval{joined}
				continue
			}
		}
		out[n] = out[i]
		n++
	}
	return out[:n]
}

func compareElements(a, b Element) int {
	for i := range min(len(a.Key), len(b.Key)) {
		if c := compareValues(a.Key[i].Lo, b.Key[i].Lo); c != 0 {
			return c
		}
		if c := compareValues(a.Key[i].Hi, b.Key[i].Hi); c != 0 {
			return c
		}
	}
	return len(a.Key) - len(b.Key)
}
