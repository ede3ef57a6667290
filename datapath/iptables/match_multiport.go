package iptables

import (
	"strconv"
	"strings"

	"github.com/svclab/svclab/datapath/packet"
)

// MultiportSide says which port is looked at.
type MultiportSide uint8

// The sides.
const (
	SourcePorts MultiportSide = iota + 1
	DestinationPorts
	EitherPort
)

var multiportNames = [...]string{"", " --sports ", " --dports ", " --ports "}

// Multiport matches up to 15 ports, a range taking two places, as -m multiport does (net/netfilter/xt_multiport.c).
type Multiport struct {
	Side   MultiportSide
	Ports  []Ports
	Invert bool
}

var _ = registerMatch(&extension{
	name: "multiport",
	options: []optionSpec{
		{name: "sports", args: 1}, {name: "source-ports", as: "sports", args: 1}, {name: "dports", args: 1},
		{name: "destination-ports", as: "dports", args: 1}, {name: "ports", args: 1},
	},
	newMatch: func() parsedMatch { return new(Multiport) },
})

// Name is the name after -m.
func (m *Multiport) Name() string { return "multiport" }

func (m *Multiport) set(o *option) error {
	if m.Side != 0 {
		return refuse("multiport", "can only have one option", "--"+o.name)
	}
	if r := o.rule; !hasPorts(r.header.Proto) || r.header.NotProto {
		return refuse("multiport", "needs -p tcp, -p udp, -p udplite, -p sctp or -p dccp before it", "")
	}
	m.Side = map[string]MultiportSide{"sports": SourcePorts, "dports": DestinationPorts, "ports": EitherPort}[o.name]
	m.Invert = o.invert
	const most = 15
	n := 0
	for s := range strings.SplitSeq(o.arg, ",") {
		lo, hi, isRange := strings.Cut(s, ":")
		n++
		if isRange {
			n++
		}
		if n > most {
			return refuse("multiport", "too many ports specified", o.arg)
		}
		p := Ports{Set: true}
		var err error
		if p.Lo, err = parsePort("multiport", lo); err != nil {
			return err
		}
		p.Hi = p.Lo
		if isRange {
			if p.Hi, err = parsePort("multiport", hi); err != nil {
				return err
			}
			if p.Lo >= p.Hi {
				return refuse("multiport", "invalid portrange specified", s)
			}
		}
		m.Ports = append(m.Ports, p)
	}
	return nil
}

// hasPorts reports whether multiport and NAT port options know the protocol: tcp, udp, dccp, sctp, udplite.
func hasPorts(p packet.Protocol) bool { return p.HasPorts() || p == 33 || p == 136 }

func (m *Multiport) finish(*ruleParser) error {
	if m.Side == 0 {
		return refuse("multiport", "expects an option", "")
	}
	return nil
}

// Append appends the option.
func (m *Multiport) Append(b []byte) []byte {
	if m.Invert {
		b = append(b, " !"...)
	}
	b = append(b, multiportNames[m.Side]...)
	for i, p := range m.Ports {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(p.Lo), 10)
		if p.Hi != p.Lo {
			b = strconv.AppendUint(append(b, ':'), uint64(p.Hi), 10)
		}
	}
	return b
}

func (m *Multiport) match(_ *walker, p *packet.Packet) bool {
	if p.FragmentOffset != 0 {
		return false
	}
	for _, r := range m.Ports {
		if m.Side != DestinationPorts && r.contains(p.Src.Port()) || m.Side != SourcePorts && r.contains(p.Dst.Port()) {
			return !m.Invert
		}
	}
	return m.Invert
}
