package conntrack

import (
	"strconv"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// Form is a way of listing entries.
type Form uint8

// The forms.
const (
	FormProc Form = iota // /proc/net/nf_conntrack (net/netfilter/nf_conntrack_standalone.c, ct_seq_show)
	FormTool             // conntrack -L (libnetfilter_conntrack, src/conntrack/snprintf_default.c)
)

var tcpStateNames = [NumTCPStates]string{
	"NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE", "SYN_SENT2",
}

var sctpStateNames = [NumSCTPStates]string{
	"NONE", "CLOSED", "COOKIE_WAIT", "COOKIE_ECHOED", "ESTABLISHED", "SHUTDOWN_SENT", "SHUTDOWN_RECD", "SHUTDOWN_ACK_SENT",
	"HEARTBEAT_SENT",
}

// StateName returns the name of a protocol's state as listings spell it, "" for protocols without states.
func StateName(p packet.Protocol, s State) string {
	switch {
	case p == packet.TCP && s < NumTCPStates:
		return tcpStateNames[s]
	case p == packet.SCTP && s < NumSCTPStates:
		return sctpStateNames[s]
	}
	return ""
}

// ParseState is the inverse of StateName. SYN_SENT2 is known by its older name LISTEN, too.
func ParseState(p packet.Protocol, name string) (State, bool) {
	var names []string
	switch p {
	case packet.TCP:
		if name == "LISTEN" {
			return TCPSynSent2, true
		}
		names = tcpStateNames[:]
	case packet.SCTP:
		names = sctpStateNames[:]
	}
	for i, n := range names {
		if n == name {
			return State(i), true
		}
	}
	return 0, false
}

// StateName returns the name of the connection's state, "" for protocols without states.
func (c *Conn) StateName() string { return StateName(c.Original.Proto, c.State) }

// Entry describes the connection as a listing made at the given time shows it.
func (c *Conn) Entry(now time.Duration) Entry {
	return Entry{
		Original: c.Original, Reply: c.Reply, State: c.State, Status: c.Status & (SeenReply | Assured), Mark: c.Mark,
		Timeout: max(c.Expires-now, 0), MasqueradeOut: c.MasqueradeOut,
	}
}

// String returns the entry in the form of /proc/net/nf_conntrack.
func (e Entry) String() string { return string(e.Append(nil, FormProc)) }

// Append adds the entry's line, without a newline, to b.
func (e Entry) Append(b []byte, form Form) []byte {
	p := e.Original.Proto
	if form == FormProc {
		if packet.FamilyOf(e.Original.Dst.Addr()) == packet.IPv6 {
			b = append(b, "ipv6     10 "...)
		} else {
			b = append(b, "ipv4     2 "...)
		}
	}
	b = pad(b, protoName(p), 8)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(p), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(e.Timeout/time.Second), 10)
	b = append(b, ' ')
	if s := StateName(p, e.State); s != "" {
		b = append(append(b, s...), ' ')
	}
	b = appendTuple(b, &e.Original, form)
	if e.Status&SeenReply == 0 {
		b = append(b, "[UNREPLIED] "...)
	}
	b = appendTuple(b, &e.Reply, form)
	if e.Status&Assured != 0 {
		b = append(b, "[ASSURED] "...)
	}
	b = append(b, "mark="...)
	b = strconv.AppendUint(b, uint64(e.Mark), 10)
	if form == FormProc {
		return append(b, " zone=0 use=2"...)
	}
	return append(b, " use=1"...)
}

// protoName is a protocol's name in listings: those the kernel has no name for are "unknown".
func protoName(p packet.Protocol) string {
	switch p {
	case packet.TCP, packet.UDP, packet.SCTP, packet.ICMP:
		return p.String()
	case packet.ICMPv6:
		return "icmpv6"
	}
	return "unknown"
}

func pad(b []byte, s string, width int) []byte {
	b = append(b, s...)
	for range width - len(s) {
		b = append(b, ' ')
	}
	return b
}

func appendTuple(b []byte, t *packet.Tuple, form Form) []byte {
	src, dst := t.Src.Addr().String(), t.Dst.Addr().String()
	if form == FormProc {
		src, dst = t.Src.Addr().StringExpanded(), t.Dst.Addr().StringExpanded()
	}
	b = append(append(append(b, "src="...), src...), " dst="...)
	b = append(append(b, dst...), ' ')
	field := func(name string, v uint16) {
		b = append(append(b, name...), '=')
		b = append(strconv.AppendUint(b, uint64(v), 10), ' ')
	}
	switch {
	case t.Proto == packet.ICMP || t.Proto == packet.ICMPv6:
		field("type", t.Dst.Port()>>8)
		field("code", t.Dst.Port()&0xff)
		field("id", t.Src.Port())
	case t.Proto.HasPorts():
		field("sport", t.Src.Port())
		field("dport", t.Dst.Port())
	}
	return b
}

// List returns all entries, one a line, in the order of their creation.
func (t *Table) List(now time.Duration, form Form) string {
	var b []byte
	for c := range t.All() {
		b = append(c.Entry(now).Append(b, form), '\n')
	}
	return string(b)
}

// fields splits a line at spaces and tabs.
func fields(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\t' || r == '\r' })
}
