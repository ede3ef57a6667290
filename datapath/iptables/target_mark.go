package iptables

import (
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// SetMark is -j MARK: mark = (mark & ^Mask) ^ Value (net/netfilter/xt_mark.c, mark_tg). The walk goes on with the next rule.
type SetMark struct{ Value, Mask uint32 }

// xmarkOptions are the ways to spell a change of a mark.
var xmarkOptions = []optionSpec{
	{name: "set-xmark", args: 1, noInvert: true}, {name: "set-mark", args: 1, noInvert: true},
	{name: "and-mark", args: 1, noInvert: true}, {name: "or-mark", args: 1, noInvert: true},
	{name: "xor-mark", args: 1, noInvert: true},
}

var _ = registerTarget(&extension{
	name: "MARK", options: xmarkOptions, newGoal: func() parsedTarget { return new(SetMark) },
})

// parseXmark turns any of the spellings into value and mask.
func parseXmark(o *option) (v, m uint32, err error) {
	opt := "--" + o.name
	switch o.name {
	case "set-xmark":
		return parsePair(opt, o.arg)
	case "set-mark":
		v, m, err = parsePair(opt, o.arg)
		return v, m | v, err
	}
	n, ok := parseUint(o.arg, 1<<32-1)
	if !ok {
		return 0, 0, o.badValue()
	}
	switch v = uint32(n); o.name {
	case "and-mark":
		return 0, ^v, nil
	case "or-mark":
		return v, v, nil
	}
	return v, 0, nil // xor-mark
}

// Name is the name after -j.
func (t *SetMark) Name() string { return "MARK" }

func (t *SetMark) set(o *option) (err error) {
	t.Value, t.Mask, err = parseXmark(o)
	return err
}

func (t *SetMark) finish(r *ruleParser) error {
	if r.given(t) != 1 {
		return refuse("MARK", "exactly one of --set-xmark, --{and,or,xor,set}-mark is required", "")
	}
	return nil
}

// Append appends the option.
func (t *SetMark) Append(b []byte) []byte {
	b = appendHex(append(b, " --set-xmark "...), t.Value)
	return appendHex(append(b, '/'), t.Mask)
}

func (t *SetMark) act(x *walker, p *packet.Packet) netfilter.Verdict {
	p.Mark = p.Mark&^t.Mask ^ t.Value
	if x.w.Trace != nil {
		x.note = string(appendHex([]byte("mark "), p.Mark))
	}
	return netfilter.Continue
}
