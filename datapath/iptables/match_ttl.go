package iptables

import (
	"strconv"

	"github.com/svclab/svclab/datapath/packet"
)

// TTL matches the time to live or, as HL, the hop limit (net/netfilter/xt_hl.c).
type TTL struct {
	V6    bool
	How   string // "eq", "ne", "lt", "gt"
	Value uint8
}

func ttlOptions(p string) []optionSpec {
	return []optionSpec{
		{name: p + "-eq", as: "eq", args: 1}, {name: p, as: "eq", args: 1},
		{name: p + "-lt", as: "lt", args: 1, noInvert: true}, {name: p + "-gt", as: "gt", args: 1, noInvert: true},
	}
}

var _ = registerMatch(&extension{
	name: "ttl", family: packet.IPv4, options: ttlOptions("ttl"), newMatch: func() parsedMatch { return new(TTL) },
})

var _ = registerMatch(&extension{
	name: "hl", family: packet.IPv6, options: ttlOptions("hl"), newMatch: func() parsedMatch { return &TTL{V6: true} },
})

// Name is the name after -m.
func (m *TTL) Name() string {
	if m.V6 {
		return "hl"
	}
	return "ttl"
}

func (m *TTL) set(o *option) error {
	n, ok := parseUint(o.arg, 255)
	if !ok {
		return o.badValue()
	}
	if m.How != "" {
		return refuse(m.Name(), "only one comparison is allowed", o.arg)
	}
	m.How, m.Value = o.name, uint8(n)
	if o.invert {
		m.How = "ne"
	}
	return nil
}

func (m *TTL) finish(r *ruleParser) error { return r.mustHave(m, "--"+m.Name()+"-eq, -lt or -gt") }

// Append appends the option.
func (m *TTL) Append(b []byte) []byte {
	how := m.How
	if how == "ne" {
		b = append(b, " !"...)
		how = "eq"
	}
	b = append(append(append(append(append(b, " --"...), m.Name()...), '-'), how...), ' ')
	return strconv.AppendUint(b, uint64(m.Value), 10)
}

func (m *TTL) match(_ *walker, p *packet.Packet) bool {
	switch m.How {
	case "eq":
		return p.TTL == m.Value
	case "ne":
		return p.TTL != m.Value
	case "lt":
		return p.TTL < m.Value
	}
	return p.TTL > m.Value
}
