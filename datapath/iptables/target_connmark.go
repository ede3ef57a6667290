package iptables

import (
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// SetConnmark is -j CONNMARK: it changes the connection's mark or copies it to or from the packet's
// (net/netfilter/xt_connmark.c, connmark_tg_shift). Without a connection it does nothing.
type SetConnmark struct {
	How            string // "set-xmark", "save-mark", "restore-mark"
	Value, Mask    uint32 // of set-xmark
	NFMask, CTMask uint32 // of save-mark and restore-mark
	masks          uint8  // which mask options were given
}

const (
	maskBoth  = 1 // --mask
	maskSides = 2 // --nfmask, --ctmask
)

var _ = registerTarget(&extension{
	name: "CONNMARK",
	options: append([]optionSpec{
		{name: "save-mark", noInvert: true}, {name: "restore-mark", noInvert: true}, {name: "mask", args: 1, noInvert: true},
		{name: "nfmask", args: 1, noInvert: true}, {name: "ctmask", args: 1, noInvert: true},
	}, xmarkOptions...),
	newGoal: func() parsedTarget { return &SetConnmark{NFMask: 1<<32 - 1, CTMask: 1<<32 - 1} },
})

// Name is the name after -j.
func (t *SetConnmark) Name() string { return "CONNMARK" }

func (t *SetConnmark) set(o *option) (err error) {
	switch o.name {
	case "mask", "nfmask", "ctmask":
		if o.name == "mask" && t.masks&maskSides != 0 || o.name != "mask" && t.masks&maskBoth != 0 {
			return refuse("--"+o.name, "cannot be used together with another mask", o.arg)
		}
		n, ok := parseUint(o.arg, 1<<32-1)
		if !ok {
			return o.badValue()
		}
		if o.name == "mask" {
			t.masks |= maskBoth
		} else {
			t.masks |= maskSides
		}
		if o.name != "ctmask" {
			t.NFMask = uint32(n)
		}
		if o.name != "nfmask" {
			t.CTMask = uint32(n)
		}
		return nil
	}
	if t.How != "" {
		return refuse("--"+o.name, "cannot be used together with --"+t.How, "")
	}
	switch t.How = o.name; o.name {
	case "save-mark", "restore-mark":
		return nil
	}
	t.How = "set-xmark"
	t.Value, t.Mask, err = parseXmark(o)
	return err
}

func (t *SetConnmark) finish(*ruleParser) error {
	if t.How == "" {
		return refuse("CONNMARK", "no operation specified", "")
	}
	if t.How == "set-xmark" {
		if t.masks&maskBoth != 0 {
			t.Mask = t.NFMask
		}
		t.NFMask, t.CTMask = 1<<32-1, 1<<32-1
	}
	t.masks = 0
	return nil
}

// Append appends the options.
func (t *SetConnmark) Append(b []byte) []byte {
	if t.How == "set-xmark" {
		b = appendHex(append(b, " --set-xmark "...), t.Value)
		return appendHex(append(b, '/'), t.Mask)
	}
	b = append(append(b, " --"...), t.How...)
	b = appendHex(append(b, " --nfmask "...), t.NFMask)
	return appendHex(append(b, " --ctmask "...), t.CTMask)
}

func (t *SetConnmark) needsConntrack() bool { return true }

func (t *SetConnmark) act(x *walker, p *packet.Packet) netfilter.Verdict {
	c := x.w.Conn
	if c == nil {
		return netfilter.Continue
	}
	switch t.How {
	case "set-xmark":
		c.SetMark(c.Mark&^t.Mask^t.Value, x.w.Journal)
	case "save-mark":
		c.SetMark(c.Mark&^t.CTMask^p.Mark&t.NFMask, x.w.Journal)
	case "restore-mark":
		p.Mark = p.Mark&^t.NFMask ^ c.Mark&t.CTMask
	}
	if x.w.Trace != nil {
		x.note = string(appendHex([]byte("mark "), p.Mark)) + string(appendHex([]byte(", connection mark "), c.Mark))
	}
	return netfilter.Continue
}
