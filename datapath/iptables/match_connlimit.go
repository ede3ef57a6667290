package iptables

import (
	"net/netip"
	"strconv"

	"github.com/svclab/svclab/datapath/conntrack"
	"github.com/svclab/svclab/datapath/packet"
)

// ConnLimit matches by the number of connections of a client or a network, as -m connlimit does
// (net/netfilter/xt_connlimit.c, nf_conncount.c). A connection counts from the packet that asked until it is dead.
type ConnLimit struct {
	Limit uint32
	Upto  bool // match up to the limit; else above it
	Bits  int
	Dest  bool
}

var _ = registerMatch(&extension{
	name: "connlimit",
	options: []optionSpec{
		{name: "connlimit-upto", args: 1}, {name: "connlimit-above", args: 1}, {name: "connlimit-mask", args: 1, noInvert: true},
		{name: "connlimit-saddr", noInvert: true}, {name: "connlimit-daddr", noInvert: true},
	},
	newMatch: func() parsedMatch { return &ConnLimit{Bits: -1} },
})

// Name is the name after -m.
func (m *ConnLimit) Name() string { return "connlimit" }

func (m *ConnLimit) set(o *option) error {
	switch o.name {
	case "connlimit-upto", "connlimit-above":
		n, ok := parseUint(o.arg, 1<<32-1)
		if !ok {
			return o.badValue()
		}
		m.Limit, m.Upto = uint32(n), (o.name == "connlimit-upto") != o.invert
	case "connlimit-mask":
		n, ok := parseUint(o.arg, uint64(addrBits(o.rule.family)))
		if !ok {
			return o.badValue()
		}
		m.Bits = int(n)
	case "connlimit-daddr":
		m.Dest = true
	case "connlimit-saddr":
		m.Dest = false
	}
	return nil
}

func (m *ConnLimit) finish(r *ruleParser) error {
	if r.has(m, "connlimit-upto") == r.has(m, "connlimit-above") {
		return refuse("connlimit", "you must specify one of --connlimit-above and --connlimit-upto", "")
	}
	if m.Bits < 0 {
		m.Bits = addrBits(r.family)
	}
	return nil
}

// Append appends the options.
func (m *ConnLimit) Append(b []byte) []byte {
	if m.Upto {
		b = append(b, " --connlimit-upto "...)
	} else {
		b = append(b, " --connlimit-above "...)
	}
	b = strconv.AppendUint(b, uint64(m.Limit), 10)
	b = strconv.AppendInt(append(b, " --connlimit-mask "...), int64(m.Bits), 10)
	if m.Dest {
		return append(b, " --connlimit-daddr"...)
	}
	return append(b, " --connlimit-saddr"...)
}

func (m *ConnLimit) needsConntrack() bool { return true }

func (m *ConnLimit) state() uint64 { return 0 }

func (m *ConnLimit) bind(s *matchState) (evaluator, error) {
	if s.more == nil {
		s.more = map[netip.Addr][]*conntrack.Conn{}
	}
	return &boundConnLimit{m, s}, nil
}

// boundConnLimit is a ConnLimit with the connections it has seen, by masked address.
type boundConnLimit struct {
	*ConnLimit
	at *matchState
}

func (m *boundConnLimit) matchState() *matchState { return m.at }

func (m *boundConnLimit) match(x *walker, p *packet.Packet) bool {
	a := p.Src.Addr()
	if m.Dest {
		a = p.Dst.Addr()
	}
	a = maskAddr(a, prefixMask(m.Bits, p.Family()))
	seen := m.at.more.(map[netip.Addr][]*conntrack.Conn)
	old := seen[a]
	live := make([]*conntrack.Conn, 0, len(old)+1)
	known := false
	for _, c := range old {
		if c.Status.Has(conntrack.Dying) || c.Status.Has(conntrack.Confirmed) && c.Expires <= x.w.Now {
			continue
		}
		live = append(live, c)
		known = known || c == x.w.Conn
	}
	if c := x.w.Conn; c != nil && !known {
		live = append(live, c)
	}
	seen[a] = live
	if x.w.Journal.On() {
		x.w.Journal.Add(func() { seen[a] = old })
	}
	return (uint32(len(live)) > m.Limit) != m.Upto
}
