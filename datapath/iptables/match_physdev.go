package iptables

import (
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// Physdev matches bridge ports, as -m physdev does (net/netfilter/xt_physdev.c, physdev_mt).
type Physdev struct {
	In, Out                       Interface
	IsIn, IsOut, IsBridged        bool
	NotIsIn, NotIsOut, NotBridged bool
}

var _ = registerMatch(&extension{
	name: "physdev",
	options: []optionSpec{
		{name: "physdev-in", args: 1}, {name: "physdev-out", args: 1}, {name: "physdev-is-in"}, {name: "physdev-is-out"},
		{name: "physdev-is-bridged"},
	},
	newMatch: func() parsedMatch { return new(Physdev) },
})

// Name is the name after -m.
func (m *Physdev) Name() string { return "physdev" }

func (m *Physdev) set(o *option) (err error) {
	switch o.name {
	case "physdev-in":
		m.In, err = parseInterface("--physdev-in", o.arg, o.invert)
	case "physdev-out":
		m.Out, err = parseInterface("--physdev-out", o.arg, o.invert)
	case "physdev-is-in":
		m.IsIn, m.NotIsIn = true, o.invert
	case "physdev-is-out":
		m.IsOut, m.NotIsOut = true, o.invert
	case "physdev-is-bridged":
		m.IsBridged, m.NotBridged = true, o.invert
	}
	return err
}

func (m *Physdev) finish(r *ruleParser) error { return r.mustHave(m, "--physdev-*") }

func (m *Physdev) require() requirement {
	if (m.Out.Name != "" || m.IsOut) && (!m.IsBridged || m.NotBridged) {
		// Before the bridge has decided there is no output port (physdev_mt_check).
		return requirement{hooks: allHooks &^ hooks(netfilter.Output)}
	}
	return requirement{}
}

// Append appends the options.
func (m *Physdev) Append(b []byte) []byte {
	flag := func(given, not bool, opt string) {
		if given {
			if not {
				b = append(b, " !"...)
			}
			b = append(b, opt...)
		}
	}
	flag(m.IsIn, m.NotIsIn, " --physdev-is-in")
	b = appendPort(b, m.In, " --physdev-in ")
	flag(m.IsOut, m.NotIsOut, " --physdev-is-out")
	b = appendPort(b, m.Out, " --physdev-out ")
	flag(m.IsBridged, m.NotBridged, " --physdev-is-bridged")
	return b
}

// appendPort appends a condition on a bridge port; unlike -i and -o, that of every port too.
func appendPort(b []byte, i Interface, opt string) []byte {
	if i.Name != "+" {
		return i.append(b, opt)
	}
	if i.Invert {
		b = append(b, " !"...)
	}
	return append(append(b, opt...), '+')
}

func (m *Physdev) match(_ *walker, p *packet.Packet) bool {
	if m.IsBridged && (p.PhysIn != "" && p.PhysOut != "") == m.NotBridged {
		return false
	}
	if m.IsIn && (p.PhysIn != "") == m.NotIsIn || m.IsOut && (p.PhysOut != "") == m.NotIsOut {
		return false
	}
	return m.In.Match(p.PhysIn) && m.Out.Match(p.PhysOut)
}
