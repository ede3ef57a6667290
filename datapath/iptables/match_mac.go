package iptables

import (
	"fmt"
	"net"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// MAC matches the Ethernet source address, as -m mac does (net/netfilter/xt_mac.c): packets without a link header never match.
type MAC struct {
	Source packet.MAC
	Invert bool
}

var _ = registerMatch(&extension{
	name: "mac", options: []optionSpec{{name: "mac-source", args: 1}}, newMatch: func() parsedMatch { return new(MAC) },
})

// Name is the name after -m.
func (m *MAC) Name() string { return "mac" }

func (m *MAC) set(o *option) error {
	a, err := net.ParseMAC(o.arg)
	if err != nil || len(a) != len(m.Source) || len(o.arg) != 17 {
		return refuse("--mac-source", "bad MAC address", o.arg)
	}
	m.Source, m.Invert = packet.MAC(a), o.invert
	return nil
}

func (m *MAC) finish(r *ruleParser) error { return r.mustHave(m, "--mac-source") }

func (m *MAC) require() requirement {
	return requirement{hooks: hooks(netfilter.PreRouting, netfilter.Input, netfilter.Forward)}
}

// Append appends the option.
func (m *MAC) Append(b []byte) []byte {
	if m.Invert {
		b = append(b, " !"...)
	}
	a := m.Source
	return fmt.Appendf(b, " --mac-source %02x:%02x:%02x:%02x:%02x:%02x", a[0], a[1], a[2], a[3], a[4], a[5])
}

func (m *MAC) match(_ *walker, p *packet.Packet) bool {
	return p.SrcMAC != packet.MAC{} && (p.SrcMAC == m.Source) != m.Invert
}
