package iptables

import (
	"strconv"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// SetTTL changes the time to live or, as HL, the hop limit (net/netfilter/xt_HL.c).
type SetTTL struct {
	V6    bool
	How   string // "set", "dec", "inc"
	Value uint8
}

func setTTLOptions(p string) []optionSpec {
	return []optionSpec{
		{name: p + "-set", as: "set", args: 1, noInvert: true}, {name: p + "-dec", as: "dec", args: 1, noInvert: true},
		{name: p + "-inc", as: "inc", args: 1, noInvert: true},
	}
}

var _ = registerTarget(&extension{
	name: "TTL", family: packet.IPv4, options: setTTLOptions("ttl"), newGoal: func() parsedTarget { return new(SetTTL) },
})

var _ = registerTarget(&extension{
	name: "HL", family: packet.IPv6, options: setTTLOptions("hl"), newGoal: func() parsedTarget { return &SetTTL{V6: true} },
})

// Name is the name after -j.
func (t *SetTTL) Name() string {
	if t.V6 {
		return "HL"
	}
	return "TTL"
}

func (t *SetTTL) set(o *option) error {
	n, ok := parseUint(o.arg, 255)
	if !ok || n == 0 && o.name != "set" {
		return o.badValue()
	}
	if t.How != "" {
		return refuse(t.Name(), "only one change is allowed", o.arg)
	}
	t.How, t.Value = o.name, uint8(n)
	return nil
}

func (t *SetTTL) finish(r *ruleParser) error {
	if t.How == "" {
		return refuse(t.Name(), "you must specify an action", "")
	}
	return nil
}

func (t *SetTTL) require() requirement { return requirement{tables: inTable(Mangle)} }

// Append appends the option.
func (t *SetTTL) Append(b []byte) []byte {
	if t.V6 {
		b = append(b, " --hl-"...)
	} else {
		b = append(b, " --ttl-"...)
	}
	b = append(append(b, t.How...), ' ')
	return strconv.AppendUint(b, uint64(t.Value), 10)
}

func (t *SetTTL) act(x *walker, p *packet.Packet) netfilter.Verdict {
	switch t.How {
	case "set":
		p.TTL = t.Value
	case "inc":
		p.TTL = uint8(min(int(p.TTL)+int(t.Value), 255))
	case "dec":
		p.TTL = uint8(max(int(p.TTL)-int(t.Value), 0))
	}
	if x.w.Trace != nil {
		x.note = "ttl " + strconv.Itoa(int(p.TTL))
	}
	return netfilter.Continue
}
