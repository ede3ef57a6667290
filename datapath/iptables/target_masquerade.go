package iptables

import (
	"net/netip"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// Masquerade translates the source to the primary address of the outgoing interface
// (net/netfilter/nf_nat_masquerade.c, nf_nat_masquerade_ipv4).
type Masquerade struct{ To NATRange }

// Redirect translates the destination to this host: the primary address of the incoming interface, or loopback for
// local packets (net/netfilter/nf_nat_redirect.c, nf_nat_redirect_ipv4).
type Redirect struct{ To NATRange }

var _ = registerTarget(&extension{
	name: "MASQUERADE",
	options: []optionSpec{
		{name: "to-ports", args: 1, noInvert: true}, {name: "random", noInvert: true},
		{name: "random-fully", noInvert: true},
	},
	newGoal: func() parsedTarget { return new(Masquerade) },
})

var _ = registerTarget(&extension{
	name: "REDIRECT",
	options: []optionSpec{
		{name: "to-ports", args: 1, noInvert: true}, {name: "random", noInvert: true},
	},
	newGoal: func() parsedTarget { return new(Redirect) },
})

func (n *NATRange) setPortsOnly(o *option) error {
	if o.name == "to-ports" {
		return n.parsePorts(o, o.arg)
	}
	return n.set(o)
}

func (n *NATRange) appendPortsOnly(b []byte) []byte {
	if n.HasPorts {
		b = n.appendPorts(append(b, " --to-ports "...))
	}
	return n.appendFlags(b)
}

// Name is the name after -j.
func (t *Masquerade) Name() string { return "MASQUERADE" }

func (t *Masquerade) set(o *option) error { return t.To.setPortsOnly(o) }

func (t *Masquerade) finish(*ruleParser) error { return nil }

func (t *Masquerade) require() requirement {
	return requirement{tables: inTable(NAT), hooks: hooks(netfilter.PostRouting)}
}

// Append appends the options.
func (t *Masquerade) Append(b []byte) []byte { return t.To.appendPortsOnly(b) }

func (t *Masquerade) needsConntrack() bool { return true }

func (t *Masquerade) act(x *walker, p *packet.Packet) netfilter.Verdict {
	if p.Src.Addr().IsUnspecified() {
		return netfilter.Accept
	}
	a := x.w.Route.SourceAddress(x.w.Out, p.Dst.Addr())
	if !a.IsValid() {
		x.note = "drop: " + x.w.Out + " has no address"
		return netfilter.Drop
	}
	if c := x.w.Conn; c != nil {
		c.SetMasquerade(x.w.Out, x.w.Journal)
	}
	to := t.To
	to.MinAddr, to.MaxAddr = a, a
	return x.bindNAT(manipSource, &to)
}

// Name is the name after -j.
func (t *Redirect) Name() string { return "REDIRECT" }

func (t *Redirect) set(o *option) error { return t.To.setPortsOnly(o) }

func (t *Redirect) finish(*ruleParser) error { return nil }

func (t *Redirect) require() requirement {
	return requirement{tables: inTable(NAT), hooks: hooks(netfilter.PreRouting, netfilter.Output)}
}

// Append appends the options.
func (t *Redirect) Append(b []byte) []byte { return t.To.appendPortsOnly(b) }

func (t *Redirect) needsConntrack() bool { return true }

func (t *Redirect) act(x *walker, p *packet.Packet) netfilter.Verdict {
	var a netip.Addr
	switch {
	case x.w.Hook == netfilter.Output && p.Family() == packet.IPv6:
		a = netip.IPv6Loopback()
	case x.w.Hook == netfilter.Output:
		a = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	default:
		a = x.w.Route.SourceAddress(x.w.In, p.Src.Addr())
	}
	if !a.IsValid() {
		x.note = "drop: " + x.w.In + " has no address"
		return netfilter.Drop
	}
	to := t.To
	to.MinAddr, to.MaxAddr = a, a
	return x.bindNAT(manipDestination, &to)
}
