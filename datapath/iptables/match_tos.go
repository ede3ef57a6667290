package iptables

import (
	"fmt"
	"strings"

	"github.com/svclab/svclab/datapath/packet"
)

// tosNames are the symbolic values of the type-of-service field; they look at 6 bits only.
var tosNames = map[string]uint64{
	"minimize-delay": 0x10, "maximize-throughput": 0x08, "maximize-reliability": 0x04, "minimize-cost": 0x02,
	"normal-service": 0x00,
}

// TOS matches the type-of-service or traffic-class byte, as -m tos does (net/netfilter/xt_dscp.c, tos_mt).
type TOS struct {
	Value, Mask uint8
	Invert      bool
}

var _ = registerMatch(&extension{
	name: "tos", options: []optionSpec{{name: "tos", args: 1}}, newMatch: func() parsedMatch { return new(TOS) },
})

// parseTOS reads V, V/M or a name.
func parseTOS(o *option) (v, m uint8, err error) {
	if n, ok := tosNames[strings.ToLower(o.arg)]; ok {
		return uint8(n), 0x3f, nil
	}
	a, b, masked := strings.Cut(o.arg, "/")
	n, ok := parseUint(a, 255)
	k := uint64(255)
	if ok && masked {
		k, ok = parseUint(b, 255)
	}
	if !ok {
		return 0, 0, o.badValue()
	}
	return uint8(n), uint8(k), nil
}

// Name is the name after -m.
func (m *TOS) Name() string { return "tos" }

func (m *TOS) set(o *option) (err error) {
	m.Value, m.Mask, err = parseTOS(o)
	m.Invert = o.invert
	return err
}

func (m *TOS) finish(r *ruleParser) error { return r.mustHave(m, "--tos") }

// Append appends the option.
func (m *TOS) Append(b []byte) []byte {
	if m.Invert {
		b = append(b, " !"...)
	}
	return fmt.Appendf(b, " --tos 0x%02x/0x%02x", m.Value, m.Mask)
}

func (m *TOS) match(_ *walker, p *packet.Packet) bool { return (p.TOS&m.Mask == m.Value) != m.Invert }

// DSCP matches the differentiated-services code point, the upper six bits of that byte (xt_dscp.c, dscp_mt).
type DSCP struct {
	Value  uint8
	Invert bool
}

// dscpClasses are the names of code points (RFC 2474, 2597, 3246).
var dscpClasses = map[string]uint8{
	"CS0": 0x00, "CS1": 0x08, "CS2": 0x10, "CS3": 0x18, "CS4": 0x20, "CS5": 0x28, "CS6": 0x30, "CS7": 0x38, "BE": 0x00,
	"AF11": 0x0a, "AF12": 0x0c, "AF13": 0x0e, "AF21": 0x12, "AF22": 0x14, "AF23": 0x16, "AF31": 0x1a, "AF32": 0x1c,
	"AF33": 0x1e, "AF41": 0x22, "AF42": 0x24, "AF43": 0x26, "EF": 0x2e,
}

var _ = registerMatch(&extension{
	name: "dscp", options: []optionSpec{{name: "dscp", args: 1}, {name: "dscp-class", args: 1}},
	newMatch: func() parsedMatch { return new(DSCP) },
})

func parseDSCP(o *option) (uint8, error) {
	if strings.HasSuffix(o.name, "class") {
		if v, ok := dscpClasses[strings.ToUpper(o.arg)]; ok {
			return v, nil
		}
		return 0, o.badValue()
	}
	n, ok := parseUint(o.arg, 63)
	if !ok {
		return 0, o.badValue()
	}
	return uint8(n), nil
}

// Name is the name after -m.
func (m *DSCP) Name() string { return "dscp" }

func (m *DSCP) set(o *option) (err error) {
	m.Value, err = parseDSCP(o)
	m.Invert = o.invert
	return err
}

func (m *DSCP) finish(r *ruleParser) error { return r.mustHave(m, "--dscp") }

// Append appends the option.
func (m *DSCP) Append(b []byte) []byte {
	if m.Invert {
		b = append(b, " !"...)
	}
	return fmt.Appendf(b, " --dscp 0x%02x", m.Value)
}

func (m *DSCP) match(_ *walker, p *packet.Packet) bool { return (p.TOS>>2 == m.Value) != m.Invert }
