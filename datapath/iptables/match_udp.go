package iptables

import "github.com/svclab/svclab/datapath/packet"

// UDP matches UDP ports, as -m udp does (net/netfilter/xt_tcpudp.c, udp_mt): later fragments never match.
type UDP struct{ Sport, Dport Ports }

var _ = registerMatch(&extension{
	name: "udp", options: portOptions, newMatch: func() parsedMatch { return new(UDP) },
})

// Name is the name after -m.
func (m *UDP) Name() string { return "udp" }

func (m *UDP) set(o *option) (err error) {
	switch o.name {
	case "sport":
		m.Sport, err = parsePlainPorts("--sport", o.arg, o.invert)
	case "dport":
		m.Dport, err = parsePlainPorts("--dport", o.arg, o.invert)
	}
	return err
}

func (m *UDP) finish(*ruleParser) error { return nil }

func (m *UDP) require() requirement { return requirement{proto: packet.UDP} }

// Append appends the options.
func (m *UDP) Append(b []byte) []byte {
	return m.Dport.append(m.Sport.append(b, " --sport "), " --dport ")
}

func (m *UDP) match(_ *walker, p *packet.Packet) bool {
	return p.FragmentOffset == 0 && m.Sport.contains(p.Src.Port()) && m.Dport.contains(p.Dst.Port())
}
