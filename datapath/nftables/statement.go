package nftables

import (
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Statement is one step of a rule: a match that may end it, or an action.
type Statement interface{ text(native bool) string }

// Op is a comparison. The zero Op is what nft takes when none is written: equality, membership of a set, or any common bit.
type Op string

// The comparisons.
const (
	OpImplicit Op = ""
	OpEq       Op = "=="
	OpNe       Op = "!="
	OpLt       Op = "<"
	OpGt       Op = ">"
	OpLe       Op = "<="
	OpGe       Op = ">="
)

// Match goes on with the rule only if a comparison holds.
type Match struct {
	Left  Expr
	Op    Op
	Right Expr // Literal, Concat of literals, SetRef or SetLiteral
}

// VerdictKind is what becomes of a packet.
type VerdictKind string

// The verdicts. Jump comes back after the other chain, Goto does not.
const (
	Accept   VerdictKind = "accept"
	Drop     VerdictKind = "drop"
	Continue VerdictKind = "continue"
	Return   VerdictKind = "return"
	Jump     VerdictKind = "jump"
	Goto     VerdictKind = "goto"
)

// Verdict ends a rule.
type Verdict struct {
	Kind  VerdictKind
	Chain string // of jump and goto
}

// VerdictMap looks a key up and carries out the verdict found, if any.
type VerdictMap struct {
	Key Expr
	Map Expr // SetRef or SetLiteral
}

// Reject drops a packet and tells the sender; With is empty for a port that is unreachable.
type Reject struct{ With string }

// NATKind is a translation.
type NATKind string

// The translations.
const (
	DNAT       NATKind = "dnat"
	SNAT       NATKind = "snat"
	Masquerade NATKind = "masquerade"
	Redirect   NATKind = "redirect"
)

// NAT binds a connection to a translation.
type NAT struct {
	Kind     NATKind
	Family   Family // written between kind and target, "" if not
	AddrPort bool   // the target is a concatenation of address and port
	To       Expr   // nil for none
	Port     Expr   // nil for none
	Flags    []string
}

// Assign writes a value: `meta mark set …`, `ct mark set …`.
type Assign struct{ Target, Value Expr }

// CounterStatement counts packets, in the rule or in a counter of the table.
type CounterStatement struct {
	Name           string // "" for the rule's own
	Packets, Bytes uint64
}

// SetUpdate changes a set from the packet path; Op is add, update or delete.
type SetUpdate struct {
	Op      string
	Set     string
	Key     Expr
	Timeout time.Duration // 0 for the set's own
}

// Limit goes on with the rule while a rate is kept.
type Limit struct {
	Over  bool
	Rate  uint64
	Unit  string // second, minute, hour, day, week
	Burst uint64 // packets; 0 for the default of 5
}

// Log writes a line to the kernel's log.
type Log struct {
	Prefix string
	Level  string
	Group  int // -1 for none
}

// Opaque is a match or target of xtables, which rules made by iptables-nft contain and nft lists by name only: `xt match
// "comment"`. It is kept from listings, so that they can be printed; nft loads it as little as this package does.
type Opaque struct{ Text string }

// NoTrack keeps a packet from connection tracking.
type NoTrack struct{}

func (s Match) text(native bool) string {
	op := string(s.Op)
	if b, ok := s.Left.(Binary); ok && !native {
		if text, ok := s.masked(b); ok {
			return text
		}
	}
	if op != "" {
		op += " "
	}
	return s.Left.text(native) + " " + op + s.Right.text(native)
}

// masked spells a comparison of leading bits as nft lists it: `meta mark & 0x80000000 != 0` as `meta mark != 0x00000000/1`.
func (s Match) masked(b Binary) (string, bool) {
	mask, ok := b.Right.(Literal)
	right, also := s.Right.(Literal)
	if b.Op != "&" || !ok || !also || mask.Lo.Type != TypeMark || s.Op != OpEq && s.Op != OpNe {
		return "", false
	}
	n := bits.OnesCount32(uint32(mask.Lo.Num))
	if n == 0 || bits.LeadingZeros32(^uint32(mask.Lo.Num)) != n {
		return "", false
	}
	text := b.Left.text(false) + " "
	if s.Op == OpNe {
		text += "!= "
	}
	text += mark(right.Lo.Num)
	if n < 32 {
		text += "/" + strconv.Itoa(n)
	}
	return text, true
}

func (s Verdict) text(bool) string {
	if s.Chain != "" {
		return string(s.Kind) + " " + s.Chain
	}
	return string(s.Kind)
}

func (s Verdict) String() string { return s.text(false) }

func (s VerdictMap) text(native bool) string {
	return s.Key.text(native) + " vmap " + s.Map.text(native)
}

func (s Reject) text(bool) string {
	if s.With == "" {
		return "reject"
	}
	return "reject with " + s.With
}

func (s NAT) text(native bool) string {
	var b strings.Builder
	b.WriteString(string(s.Kind))
	if s.Family != "" {
		b.WriteString(" " + string(s.Family))
	}
	if s.AddrPort && native { // nft 1.0.6 drops the words when it lists the rule
		b.WriteString(" addr . port")
	}
	if s.To != nil || s.Port != nil {
		b.WriteString(" to ")
	}
	if s.To != nil {
		to := s.To.text(native)
		if l, ok := s.To.(Literal); ok && s.Port != nil && l.Lo.Addr.Is6() {
			if l.Single() {
				to = "[" + to + "]"
			} else {
				to = "[" + l.Lo.String() + "]-[" + l.Hi.String() + "]"
			}
		}
		b.WriteString(to)
	}
	if s.Port != nil {
		b.WriteString(":" + s.Port.text(native))
	}
	if len(s.Flags) > 0 {
		b.WriteString(" " + strings.Join(s.Flags, ","))
	}
	return b.String()
}

func (s Assign) text(native bool) string {
	return s.Target.text(native) + " set " + s.Value.text(native)
}

func (s CounterStatement) text(native bool) string {
	if s.Name != "" {
		return `counter name "` + s.Name + `"`
	}
	if native && s.Packets == 0 && s.Bytes == 0 {
		return "counter"
	}
	return "counter packets " + strconv.FormatUint(s.Packets, 10) + " bytes " + strconv.FormatUint(s.Bytes, 10)
}

func (s SetUpdate) text(native bool) string {
	t := ""
	if s.Timeout != 0 {
		t = " timeout " + durationText(s.Timeout)
	}
	return s.Op + " @" + s.Set + " { " + s.Key.text(native) + t + " }"
}

func (s Limit) text(bool) string {
	t := "limit rate "
	if s.Over {
		t += "over "
	}
	t += strconv.FormatUint(s.Rate, 10) + "/" + s.Unit
	if s.Burst != 0 && s.Burst != 5 {
		t += " burst " + strconv.FormatUint(s.Burst, 10) + " packets"
	}
	return t
}

func (s Log) text(bool) string {
	t := "log"
	if s.Prefix != "" {
		t += ` prefix "` + s.Prefix + `"`
	}
	if s.Level != "" && s.Level != "warn" {
		t += " level " + s.Level
	}
	if s.Group >= 0 {
		t += " group " + strconv.Itoa(s.Group)
	}
	return t
}

func (s Opaque) text(bool) string { return s.Text }

func (NoTrack) text(bool) string { return "notrack" }

// implied reports whether nft leaves a match out because the next statement says it too: `meta l4proto tcp tcp dport 80` is
// listed as `tcp dport 80`.
func implied(s, next Statement) bool {
	m, ok := s.(Match)
	n, also := next.(Match)
	if !ok || !also || m.Op == OpNe {
		return false
	}
	l, ok := m.Right.(Literal)
	p, also := n.Left.(Payload)
	if !ok || !also || !l.Single() || l.Lo.Type != TypeProto || p.Proto == "th" {
		return false
	}
	switch left := m.Left.(type) {
	case Meta:
		ok = left.Key == "l4proto"
	case Payload:
		ok = left.Field == "protocol" || left.Field == "nexthdr"
	default:
		ok = false
	}
	return ok && l.Lo.String() == p.Proto
}
