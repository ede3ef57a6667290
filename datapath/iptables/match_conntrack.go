package iptables

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath/conntrack"
	"github.com/svclab/svclab/datapath/packet"
)

// ctStatusNames are the bits that --ctstatus knows.
var ctStatusNames = [...]string{"NONE", "EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED"}

// ctAddress is a condition on one address of a connection.
type ctAddress struct {
	Address
	set bool
}

// Conntrack matches the packet's connection, as -m conntrack and -m state do
// (net/netfilter/xt_conntrack.c, conntrack_mt).
type Conntrack struct {
	Alias    bool // written as -m state
	State    conntrack.StateMask
	HasState bool
	NotState bool

	stateOnly bool // nothing else was asked for

	Proto          packet.Protocol // --ctproto, if hasProto
	hasProto       bool
	NotProto       bool
	addrs          [4]ctAddress // origsrc, origdst, replsrc, repldst
	ports          [4]Ports
	status         uint8 // bit set of ctStatusNames
	hasStatus      bool
	notStatus      bool
	expLo, expHi   uint32 // seconds
	hasExp, notExp bool
	direction      int8 // 1 original, 2 reply; 0: not asked
}

var ctSides = [...]string{"ctorigsrc", "ctorigdst", "ctreplsrc", "ctrepldst"}

var _ = registerMatch(&extension{
	name: "conntrack",
	options: []optionSpec{
		{name: "ctstate", args: 1}, {name: "ctproto", args: 1}, {name: "ctorigsrc", args: 1}, {name: "ctorigdst", args: 1},
		{name: "ctreplsrc", args: 1}, {name: "ctrepldst", args: 1}, {name: "ctorigsrcport", args: 1},
		{name: "ctorigdstport", args: 1}, {name: "ctreplsrcport", args: 1}, {name: "ctrepldstport", args: 1},
		{name: "ctstatus", args: 1}, {name: "ctexpire", args: 1}, {name: "ctdir", args: 1, noInvert: true},
	},
	newMatch: func() parsedMatch { return new(Conntrack) },
})

var _ = registerMatch(&extension{
	name: "state", options: []optionSpec{{name: "state", args: 1}},
	newMatch: func() parsedMatch { return &Conntrack{Alias: true} },
})

// Name is the name after -m.
func (m *Conntrack) Name() string {
	if m.Alias {
		return "state"
	}
	return "conntrack"
}

func (m *Conntrack) set(o *option) (err error) {
	for i, side := range ctSides {
		switch o.name {
		case side:
			a, err := parseAddress("--"+side, o.arg, o.rule.family)
			a.Invert = o.invert
			// The host bits stay, as libxt_conntrack keeps them; the kernel masks when it compares.
			host, _, _ := strings.Cut(o.arg, "/")
			if h, ok := parseHost(host, o.rule.family, true); ok {
				a.Addr = h
			}
			m.addrs[i] = ctAddress{a, true}
			return err
		case side + "port":
			m.ports[i], err = parsePlainPorts("--"+o.name, o.arg, o.invert)
			return err
		}
	}
	switch o.name {
	case "ctstate", "state":
		m.HasState, m.NotState = true, o.invert
		m.State, err = parseCTState("--"+o.name, o.arg, m.Alias)
	case "ctproto":
		m.Proto, err = parseProtocol(o.arg)
		m.NotProto = o.invert
		m.hasProto = true
	case "ctstatus":
		m.hasStatus, m.notStatus = true, o.invert
		for s := range strings.SplitSeq(o.arg, ",") {
			if err := m.addStatus(s); err != nil {
				return err
			}
		}
	case "ctexpire":
		m.hasExp, m.notExp = true, o.invert
		var lo, hi uint64
		if lo, hi, err = parseRange(o, ":", 1<<32-1); err == nil {
			m.expLo, m.expHi = uint32(lo), uint32(hi)
		}
	case "ctdir":
		switch strings.ToUpper(o.arg) {
		case "ORIGINAL":
			m.direction = 1
		case "REPLY":
			m.direction = 2
		default:
			return o.badValue()
		}
	}
	return err
}

func (m *Conntrack) addStatus(s string) error {
	for i, n := range ctStatusNames {
		if s != "" && len(s) <= len(n) && strings.EqualFold(n[:len(s)], s) { // a beginning is enough
			if i > 0 {
				m.status |= 1 << i
			}
			return nil
		}
	}
	return refuse("--ctstatus", "bad ctstatus", s)
}

func parseCTState(opt, s string, alias bool) (conntrack.StateMask, error) {
	var st conntrack.StateMask
	for w := range strings.SplitSeq(s, ",") {
		bit, ok := conntrack.ParseStateMask(w)
		if !ok || alias && bit&(conntrack.MaskSNAT|conntrack.MaskDNAT) != 0 {
			return 0, refuse(opt, "bad state", w)
		}
		st |= bit
	}
	return st, nil
}

func (m *Conntrack) finish(r *ruleParser) error {
	if r.given(m) == 0 {
		return refuse(m.Name(), "at least one option is required", "")
	}
	m.stateOnly = !m.hasProto && m.addrs == [4]ctAddress{} && m.ports == [4]Ports{} && !m.hasStatus && !m.hasExp && m.direction == 0
	return nil
}

// Append appends the options in libxt_conntrack's order.
func (m *Conntrack) Append(b []byte) []byte {
	not := func(inv bool) {
		if inv {
			b = append(b, " !"...)
		}
	}
	if m.HasState {
		not(m.NotState)
		if m.Alias {
			b = append(b, " --state "...)
		} else {
			b = append(b, " --ctstate "...)
		}
		b = append(b, m.State.String()...)
	}
	if m.hasProto {
		not(m.NotProto)
		b = append(b, " --ctproto "...)
		b = strconv.AppendUint(b, uint64(m.Proto), 10)
	}
	for i, a := range m.addrs {
		if a.set {
			not(a.Invert)
			b = append(append(append(b, " --"...), ctSides[i]...), ' ')
			b = appendAddr(b, a.Addr)
			switch n := prefixLength(a.Mask); {
			case n < 0:
				b = appendAddr(append(b, '/'), a.Mask)
			case n < a.Mask.BitLen():
				b = strconv.AppendInt(append(b, '/'), int64(n), 10)
			}
		}
	}
	for i, p := range m.ports {
		if p.Set {
			not(p.Invert)
			b = append(append(append(b, " --"...), ctSides[i]...), "port "...)
			b = appendRange(b, uint64(p.Lo), uint64(p.Hi))
		}
	}
	if m.hasStatus {
		not(m.notStatus)
		b = append(b, " --ctstatus "...)
		b = appendBits(b, uint(max(m.status, 1)), ctStatusNames[:])
	}
	if m.hasExp {
		not(m.notExp)
		b = append(b, " --ctexpire "...)
		b = appendRange(b, uint64(m.expLo), uint64(m.expHi))
	}
	switch m.direction {
	case 1:
		b = append(b, " --ctdir ORIGINAL"...)
	case 2:
		b = append(b, " --ctdir REPLY"...)
	}
	return b
}

func (m *Conntrack) needsConntrack() bool { return true }

func (m *Conntrack) match(x *walker, _ *packet.Packet) bool {
	if m.HasState && m.State.Matches(x.w.Conn, x.w.Info) == m.NotState {
		return false
	}
	if m.stateOnly {
		return m.HasState
	}
	c := x.w.Conn
	if c == nil {
		return false
	}
	if m.direction != 0 && (m.direction == 2) != x.w.Info.IsReply() {
		return false
	}
	if m.hasProto && (c.Original.Proto == m.Proto) == m.NotProto {
		return false
	}
	sides := [4]netip.AddrPort{c.Original.Src, c.Original.Dst, c.Reply.Src, c.Reply.Dst}
	for i, s := range sides {
		if a := &m.addrs[i]; a.set && (maskAddr(s.Addr(), a.Mask) == maskAddr(a.Addr, a.Mask)) == a.Invert {
			return false
		}
		if !m.ports[i].contains(s.Port()) {
			return false
		}
	}
	if m.hasStatus && m.statusHolds(c.Status) == m.notStatus {
		return false
	}
	if m.hasExp {
		left := uint32(max(c.Expires-x.w.Now, 0) / time.Second)
		if (left >= m.expLo && left <= m.expHi) == m.notExp {
			return false
		}
	}
	return true
}

func (m *Conntrack) statusHolds(s conntrack.Status) bool {
	bits := uint8(0)
	if s.Has(conntrack.SeenReply) {
		bits |= 4
	}
	if s.Has(conntrack.Assured) {
		bits |= 8
	}
	if s.Has(conntrack.Confirmed) {
		bits |= 16
	}
	return m.status&bits != 0
}
