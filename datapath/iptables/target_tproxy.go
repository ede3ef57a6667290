package iptables

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// TPROXY hands packets to a local socket without translating them (net/netfilter/xt_TPROXY.c). It is read and printed; a walk
// that reaches it stops, as sockets are not modelled.
type TPROXY struct {
	Port        uint16
	Addr        netip.Addr
	Value, Mask uint32
}

var _ = registerTarget(&extension{
	name: "TPROXY",
	options: []optionSpec{
		{name: "on-port", args: 1, noInvert: true}, {name: "on-ip", args: 1, noInvert: true},
		{name: "tproxy-mark", args: 1, noInvert: true},
	},
	newGoal: func() parsedTarget { return new(TPROXY) },
})

// Name is the name after -j.
func (t *TPROXY) Name() string { return "TPROXY" }

func (t *TPROXY) set(o *option) (err error) {
	switch o.name {
	case "on-port":
		t.Port, err = parsePort("--on-port", o.arg)
	case "on-ip":
		var ok bool
		if t.Addr, ok = parseHost(o.arg, o.rule.family, false); !ok {
			err = o.badValue()
		}
	case "tproxy-mark":
		t.Value, t.Mask, err = parsePair("--tproxy-mark", o.arg)
	}
	return err
}

func (t *TPROXY) finish(r *ruleParser) error {
	if !r.has(t, "on-port") {
		return refuse("TPROXY", "option --on-port must be specified", "")
	}
	if !t.Addr.IsValid() {
		t.Addr = prefixMask(0, r.family)
	}
	return nil
}

func (t *TPROXY) require() requirement {
	return requirement{tables: inTable(Mangle), hooks: hooks(netfilter.PreRouting)}
}

func (t *TPROXY) checkEntry(r *Rule) error {
	if r.NotProto || r.Proto != packet.TCP && r.Proto != packet.UDP {
		return refuse("TPROXY", "can be used only with -p tcp or -p udp", "")
	}
	return nil
}

func (t *TPROXY) unmodelled() string { return "TPROXY" }

// Append appends the options.
func (t *TPROXY) Append(b []byte) []byte {
	b = strconv.AppendUint(append(b, " --on-port "...), uint64(t.Port), 10)
	b = appendAddr(append(b, " --on-ip "...), t.Addr)
	b = appendHex(append(b, " --tproxy-mark "...), t.Value)
	return appendHex(append(b, '/'), t.Mask)
}

// Netmap maps a whole network onto another (net/netfilter/xt_NETMAP.c): the host bits stay.
type Netmap struct{ To Address }

var _ = registerTarget(&extension{
	name: "NETMAP", options: []optionSpec{{name: "to", args: 1, noInvert: true}},
	newGoal: func() parsedTarget { return new(Netmap) },
})

// Name is the name after -j.
func (t *Netmap) Name() string { return "NETMAP" }

func (t *Netmap) set(o *option) (err error) {
	t.To, err = parseAddress("--to", o.arg, o.rule.family)
	return err
}

func (t *Netmap) finish(r *ruleParser) error { return r.mustHave(t, "--to") }

func (t *Netmap) require() requirement {
	return requirement{tables: inTable(NAT), hooks: allHooks &^ hooks(netfilter.Forward)}
}

// Append appends the option.
func (t *Netmap) Append(b []byte) []byte {
	b = t.To.append(b, " --to ")
	if n := prefixLength(t.To.Mask); n == t.To.Mask.BitLen() {
		b = b[:strings.LastIndexByte(string(b), '/')]
	}
	return b
}

func (t *Netmap) needsConntrack() bool { return true }

func (t *Netmap) act(x *walker, p *packet.Packet) netfilter.Verdict {
	side, a := manipDestination, p.Dst.Addr()
	if x.w.Hook == netfilter.PostRouting || x.w.Hook == netfilter.Input {
		side, a = manipSource, p.Src.Addr()
	}
	a = joinAddr(a, t.To.Addr, t.To.Mask)
	return x.bindNAT(side, &NATRange{MinAddr: a, MaxAddr: a})
}

// joinAddr takes the network bits of one address and the others of another.
func joinAddr(host, network, mask netip.Addr) netip.Addr {
	h, n, m := host.AsSlice(), network.AsSlice(), mask.AsSlice()
	for i := range h {
		h[i] = h[i]&^m[i] | n[i]&m[i]
	}
	a, _ := netip.AddrFromSlice(h)
	return a
}
