package iptables

import (
	"strings"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// AddrType matches the routing type of addresses at the moment of the walk, as -m addrtype does
// (net/netfilter/xt_addrtype.c, addrtype_mt_v1).
type AddrType struct {
	Src, Dst       uint16 // bit set of netfilter.AddrType; 0: not asked
	NotSrc, NotDst bool
	LimitIn        bool // --limit-iface-in: only addresses of the incoming interface count
	LimitOut       bool
}

// addrTypeNames are the types by bit (RTN_*).
var addrTypeNames = [...]string{
	"UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST", "BLACKHOLE", "UNREACHABLE", "PROHIBIT", "THROW",
	"NAT", "XRESOLVE",
}

var _ = registerMatch(&extension{
	name: "addrtype",
	options: []optionSpec{
		{name: "src-type", args: 1}, {name: "dst-type", args: 1}, {name: "limit-iface-in", noInvert: true},
		{name: "limit-iface-out", noInvert: true},
	},
	newMatch: func() parsedMatch { return new(AddrType) },
})

// Name is the name after -m.
func (m *AddrType) Name() string { return "addrtype" }

func (m *AddrType) set(o *option) (err error) {
	switch o.name {
	case "src-type":
		m.Src, err = parseAddrTypes(o.arg)
		m.NotSrc = o.invert
	case "dst-type":
		m.Dst, err = parseAddrTypes(o.arg)
		m.NotDst = o.invert
	case "limit-iface-in":
		m.LimitIn = true
	case "limit-iface-out":
		m.LimitOut = true
	}
	return err
}

func parseAddrTypes(s string) (uint16, error) {
	var set uint16
next:
	for w := range strings.SplitSeq(s, ",") {
		for i, n := range addrTypeNames {
			if strings.EqualFold(n, w) {
				set |= 1 << i
				continue next
			}
		}
		return 0, refuse("addrtype", "bad type", w)
	}
	return set, nil
}

func (m *AddrType) finish(r *ruleParser) error {
	const not6 = 1<<3 | 1<<6 | 0xff00 // BROADCAST, BLACKHOLE, PROHIBIT and what follows it (addrtype_mt_checkentry_v1)
	switch {
	case r.family == packet.IPv6 && (m.Src|m.Dst)&not6 != 0:
		return refuse("addrtype", "types that IPv6 does not have", "")
	case m.Src == 0 && m.Dst == 0:
		return refuse("addrtype", "you must specify --src-type or --dst-type", "")
	case m.LimitIn && m.LimitOut:
		return refuse("addrtype", "--limit-iface-in and --limit-iface-out cannot be combined", "")
	}
	return nil
}

func (m *AddrType) require() requirement {
	switch {
	case m.LimitIn:
		return requirement{hooks: hooks(netfilter.PreRouting, netfilter.Input, netfilter.Forward)}
	case m.LimitOut:
		return requirement{hooks: hooks(netfilter.PostRouting, netfilter.Output, netfilter.Forward)}
	}
	return requirement{}
}

// Append appends the options.
func (m *AddrType) Append(b []byte) []byte {
	side := func(set uint16, not bool, opt string) {
		if set != 0 {
			if not {
				b = append(b, " !"...)
			}
			b = appendBits(append(b, opt...), uint(set), addrTypeNames[:])
		}
	}
	side(m.Src, m.NotSrc, " --src-type ")
	side(m.Dst, m.NotDst, " --dst-type ")
	if m.LimitIn {
		b = append(b, " --limit-iface-in"...)
	}
	if m.LimitOut {
		b = append(b, " --limit-iface-out"...)
	}
	return b
}

func (m *AddrType) match(x *walker, p *packet.Packet) bool {
	iface := ""
	switch {
	case m.LimitIn:
		iface = x.w.In
	case m.LimitOut:
		iface = x.w.Out
	}
	if m.Src != 0 && (m.Src>>x.w.Route.AddrType(p.Src.Addr(), iface)&1 == 1) == m.NotSrc {
		return false
	}
	return m.Dst == 0 || (m.Dst>>x.w.Route.AddrType(p.Dst.Addr(), iface)&1 == 1) != m.NotDst
}
