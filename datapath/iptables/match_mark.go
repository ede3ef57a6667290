package iptables

import "github.com/svclab/svclab/datapath/packet"

// MarkValue is a condition on a 32-bit mark: (mark & Mask) == Value.
type MarkValue struct {
	Value, Mask uint32
	Invert      bool
}

func (m *MarkValue) parse(o *option) (err error) {
	m.Value, m.Mask, err = parsePair("--"+o.name, o.arg)
	m.Invert = o.invert
	return err
}

func (m *MarkValue) append(b []byte) []byte {
	if m.Invert {
		b = append(b, " !"...)
	}
	b = appendHex(append(b, " --mark "...), m.Value)
	if m.Mask != 1<<32-1 {
		b = appendHex(append(b, '/'), m.Mask)
	}
	return b
}

var markOptions = []optionSpec{{name: "mark", args: 1}}

// Mark matches the packet's mark, as -m mark does (net/netfilter/xt_mark.c, mark_mt).
type Mark struct{ MarkValue }

var _ = registerMatch(&extension{
	name: "mark", options: markOptions, newMatch: func() parsedMatch { return new(Mark) },
})

// Name is the name after -m.
func (m *Mark) Name() string { return "mark" }

func (m *Mark) set(o *option) error { return m.parse(o) }

func (m *Mark) finish(r *ruleParser) error { return r.mustHave(m, "--mark") }

// Append appends the option.
func (m *Mark) Append(b []byte) []byte { return m.append(b) }

func (m *Mark) match(_ *walker, p *packet.Packet) bool { return (p.Mark&m.Mask == m.Value) != m.Invert }

// Connmark matches the connection's mark, as -m connmark does (net/netfilter/xt_connmark.c, connmark_mt): false without a
// connection, inverted or not.
type Connmark struct{ MarkValue }

var _ = registerMatch(&extension{
	name: "connmark", options: markOptions, newMatch: func() parsedMatch { return new(Connmark) },
})

// Name is the name after -m.
func (m *Connmark) Name() string { return "connmark" }

func (m *Connmark) set(o *option) error { return m.parse(o) }

func (m *Connmark) finish(r *ruleParser) error { return r.mustHave(m, "--mark") }

// Append appends the option.
func (m *Connmark) Append(b []byte) []byte { return m.append(b) }

func (m *Connmark) needsConntrack() bool { return true }

func (m *Connmark) match(x *walker, _ *packet.Packet) bool {
	return x.w.Conn != nil && (x.w.Conn.Mark&m.Mask == m.Value) != m.Invert
}
