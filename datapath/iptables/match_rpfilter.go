package iptables

import (
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// RPFilter matches packets whose source is routed back through the interface they came by, as -m rpfilter does
// (net/ipv4/netfilter/ipt_rpfilter.c). Routing by mark is not modelled, so --validmark changes nothing.
type RPFilter struct{ Loose, ValidMark, AcceptLocal, Invert bool }

var _ = registerMatch(&extension{
	name: "rpfilter",
	options: []optionSpec{
		{name: "loose", noInvert: true}, {name: "validmark", noInvert: true}, {name: "accept-local", noInvert: true},
		{name: "invert", noInvert: true},
	},
	newMatch: func() parsedMatch { return new(RPFilter) },
})

// Name is the name after -m.
func (m *RPFilter) Name() string { return "rpfilter" }

func (m *RPFilter) set(o *option) error {
	switch o.name {
	case "loose":
		m.Loose = true
	case "validmark":
		m.ValidMark = true
	case "accept-local":
		m.AcceptLocal = true
	case "invert":
		m.Invert = true
	}
	return nil
}

func (m *RPFilter) finish(*ruleParser) error { return nil }

func (m *RPFilter) require() requirement {
	return requirement{tables: inTable(Raw, Mangle), hooks: hooks(netfilter.PreRouting)}
}

// Append appends the options.
func (m *RPFilter) Append(b []byte) []byte {
	if m.Loose {
		b = append(b, " --loose"...)
	}
	if m.ValidMark {
		b = append(b, " --validmark"...)
	}
	if m.AcceptLocal {
		b = append(b, " --accept-local"...)
	}
	if m.Invert {
		b = append(b, " --invert"...)
	}
	return b
}

func (m *RPFilter) match(x *walker, p *packet.Packet) bool {
	a := p.Src.Addr()
	if x.w.In == "lo" || p.Family() == packet.IPv4 && a.IsUnspecified() {
		return !m.Invert
	}
	ok := false
	switch x.w.Route.AddrType(a, "") {
	case netfilter.Unicast:
		ok = m.Loose || x.w.Route.OutputInterface(a) == x.w.In
	case netfilter.Local:
		ok = m.AcceptLocal
	}
	return ok != m.Invert
}
