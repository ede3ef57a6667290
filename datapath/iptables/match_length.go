package iptables

import (
	"github.com/svclab/svclab/datapath/packet"
)

// numberRange is a condition on a number.
type numberRange struct {
	Lo, Hi uint16
	Invert bool
}

func (r *numberRange) parse(o *option, most uint64) error {
	lo, hi, err := parseRange(o, ":", most)
	r.Lo, r.Hi, r.Invert = uint16(lo), uint16(hi), o.invert
	return err
}

func (r *numberRange) append(b []byte, opt string) []byte {
	if r.Invert {
		b = append(b, " !"...)
	}
	return appendRange(append(b, opt...), uint64(r.Lo), uint64(r.Hi))
}

func (r *numberRange) contains(n uint32) bool {
	return (n >= uint32(r.Lo) && n <= uint32(r.Hi)) != r.Invert
}

// Length matches the IP length of packets, as -m length does (net/netfilter/xt_length.c; IPv6 counts the payload and its
// 40-byte header).
type Length struct{ numberRange }

var _ = registerMatch(&extension{
	name: "length", options: []optionSpec{{name: "length", args: 1}}, newMatch: func() parsedMatch { return new(Length) },
})

// Name is the name after -m.
func (m *Length) Name() string { return "length" }

func (m *Length) set(o *option) error { return m.parse(o, 65535) }

func (m *Length) finish(r *ruleParser) error { return r.mustHave(m, "--length") }

// Append appends the option.
func (m *Length) Append(b []byte) []byte { return m.append(b, " --length ") }

func (m *Length) match(_ *walker, p *packet.Packet) bool { return m.contains(p.LengthBytes) }

// TCPMSSMatch matches the MSS option of TCP headers, as -m tcpmss does (net/netfilter/xt_tcpmss.c): without the option
// only the inverted form matches.
type TCPMSSMatch struct{ numberRange }

var _ = registerMatch(&extension{
	name: "tcpmss", options: []optionSpec{{name: "mss", args: 1}}, newMatch: func() parsedMatch { return new(TCPMSSMatch) },
})

// Name is the name after -m.
func (m *TCPMSSMatch) Name() string { return "tcpmss" }

func (m *TCPMSSMatch) set(o *option) error {
	if _, _, err := parseOrdered(o, ":", 65535); err != nil {
		return err
	}
	return m.parse(o, 65535)
}

func (m *TCPMSSMatch) finish(r *ruleParser) error { return r.mustHave(m, "--mss") }

func (m *TCPMSSMatch) require() requirement { return requirement{proto: packet.TCP} }

// Append appends the option.
func (m *TCPMSSMatch) Append(b []byte) []byte { return m.append(b, " --mss ") }

func (m *TCPMSSMatch) match(_ *walker, p *packet.Packet) bool {
	if p.TCPMSS == 0 {
		return m.Invert
	}
	return m.contains(uint32(p.TCPMSS))
}
