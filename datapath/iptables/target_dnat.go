package iptables

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// NATRange is where an address may be translated to (struct nf_nat_range2).
type NATRange struct {
	MinAddr, MaxAddr netip.Addr // invalid when the address is kept
	MinPort, MaxPort uint16
	BasePort         uint16 // of --to-destination a:p-q/base: the port that maps to MinPort
	HasPorts         bool
	HasBase          bool
	Random           bool
	RandomFully      bool
	Persistent       bool
}

// DNAT translates the destination of a connection's first packet (net/netfilter/xt_nat.c, xt_dnat_target_v2).
type DNAT struct{ To NATRange }

// SNAT translates the source (xt_nat.c, xt_snat_target_v1).
type SNAT struct{ To NATRange }

var _ = registerTarget(&extension{
	name: "DNAT",
	options: []optionSpec{
		{name: "to-destination", args: 1, noInvert: true}, {name: "random", noInvert: true},
		{name: "persistent", noInvert: true},
	},
	newGoal: func() parsedTarget { return new(DNAT) },
})

var _ = registerTarget(&extension{
	name: "SNAT",
	options: []optionSpec{
		{name: "to-source", args: 1, noInvert: true}, {name: "random", noInvert: true},
		{name: "random-fully", noInvert: true}, {name: "persistent", noInvert: true},
	},
	newGoal: func() parsedTarget { return new(SNAT) },
})

// set reads one option of a NAT target.
func (n *NATRange) set(o *option) error {
	switch o.name {
	case "random":
		n.Random = true
	case "random-fully":
		n.RandomFully = true
	case "persistent":
		n.Persistent = true
	default:
		return n.parse(o)
	}
	return nil
}

// parse reads [ADDR[-ADDR]][:PORT[-PORT[/BASE]]], IPv6 addresses with ports in brackets.
func (n *NATRange) parse(o *option) error {
	s, ports := o.arg, ""
	hasPorts := false
	if o.rule.family == packet.IPv4 {
		s, ports, hasPorts = strings.Cut(s, ":")
	} else if rest, ok := strings.CutPrefix(s, "["); ok {
		var closed bool
		if s, ports, closed = strings.Cut(rest, "]"); !closed {
			return refuse("--"+o.name, "no closing bracket", o.arg)
		}
		if ports != "" {
			if ports, hasPorts = strings.CutPrefix(ports, ":"); !hasPorts {
				return refuse("--"+o.name, "bad address", o.arg)
			}
		}
	} else if rest, ok := strings.CutPrefix(s, ":"); ok && !strings.Contains(rest, ":") {
		s, ports, hasPorts = "", rest, true
	}
	if hasPorts {
		if err := n.parsePorts(o, ports); err != nil {
			return err
		}
	}
	if s == "" {
		if !hasPorts {
			return refuse("--"+o.name, "no address and no port", o.arg)
		}
		return nil
	}
	lo, hi, isRange := strings.Cut(s, "-")
	var ok bool
	if n.MinAddr, ok = parseHost(lo, o.rule.family, false); !ok {
		return refuse("--"+o.name, "bad IP address", lo)
	}
	n.MaxAddr = n.MinAddr
	if isRange {
		if n.MaxAddr, ok = parseHost(hi, o.rule.family, false); !ok {
			return refuse("--"+o.name, "bad IP address", hi)
		}
	}
	return nil
}

func (n *NATRange) parsePorts(o *option, s string) error {
	opt := "--" + o.name
	if !hasPorts(o.rule.header.Proto) || o.rule.header.NotProto {
		return refuse(opt, "need TCP, UDP, SCTP or DCCP with port specification", o.arg)
	}
	n.HasPorts = true
	s, base, hasBase := strings.Cut(s, "/")
	lo, hi, isRange := strings.Cut(s, "-")
	var err error
	if n.MinPort, err = parsePort(opt, lo); err != nil {
		return err
	}
	n.MaxPort = n.MinPort
	if isRange {
		if n.MaxPort, err = parsePort(opt, hi); err != nil {
			return err
		}
		if n.MinPort > n.MaxPort {
			return refuse(opt, "port range funky", o.arg)
		}
	}
	if hasBase {
		if !isRange || o.name != "to-destination" {
			return refuse(opt, "a base port needs a port range", o.arg)
		}
		n.HasBase = true
		n.BasePort, err = parsePort(opt, base)
	}
	return err
}

func (n *NATRange) append(b []byte, opt string) []byte {
	if n.MinAddr.IsValid() || n.HasPorts {
		b = append(b, opt...)
	}
	if n.MinAddr.IsValid() {
		bracket := n.HasPorts && n.MinAddr.Is6()
		if bracket {
			b = append(b, '[')
		}
		b = appendAddr(b, n.MinAddr)
		if n.MaxAddr != n.MinAddr {
			b = appendAddr(append(b, '-'), n.MaxAddr)
		}
		if bracket {
			b = append(b, ']')
		}
	}
	if n.HasPorts {
		b = n.appendPorts(append(b, ':'))
	}
	return n.appendFlags(b)
}

func (n *NATRange) appendPorts(b []byte) []byte {
	b = strconv.AppendUint(b, uint64(n.MinPort), 10)
	if n.MaxPort != n.MinPort {
		b = strconv.AppendUint(append(b, '-'), uint64(n.MaxPort), 10)
	}
	if n.HasBase {
		b = strconv.AppendUint(append(b, '/'), uint64(n.BasePort), 10)
	}
	return b
}

func (n *NATRange) appendFlags(b []byte) []byte {
	if n.Random {
		b = append(b, " --random"...)
	}
	if n.RandomFully {
		b = append(b, " --random-fully"...)
	}
	if n.Persistent {
		b = append(b, " --persistent"...)
	}
	return b
}

// Name is the name after -j.
func (t *DNAT) Name() string { return "DNAT" }

func (t *DNAT) set(o *option) error { return t.To.set(o) }

func (t *DNAT) finish(r *ruleParser) error {
	if !r.has(t, "to-destination") {
		return refuse("DNAT", "option --to-destination must be specified", "")
	}
	return nil
}

func (t *DNAT) require() requirement {
	return requirement{tables: inTable(NAT), hooks: hooks(netfilter.PreRouting, netfilter.Output)}
}

// Append appends the options.
func (t *DNAT) Append(b []byte) []byte { return t.To.append(b, " --to-destination ") }

func (t *DNAT) unmodelled() string {
	if t.To.HasBase {
		return "DNAT with a base port"
	}
	return ""
}

func (t *DNAT) needsConntrack() bool { return true }

func (t *DNAT) act(x *walker, p *packet.Packet) netfilter.Verdict {
	return x.bindNAT(manipDestination, &t.To)
}

// Name is the name after -j.
func (t *SNAT) Name() string { return "SNAT" }

func (t *SNAT) set(o *option) error { return t.To.set(o) }

func (t *SNAT) finish(r *ruleParser) error {
	if !r.has(t, "to-source") {
		return refuse("SNAT", "option --to-source must be specified", "")
	}
	return nil
}

func (t *SNAT) require() requirement {
	return requirement{tables: inTable(NAT), hooks: hooks(netfilter.PostRouting, netfilter.Input)}
}

// Append appends the options.
func (t *SNAT) Append(b []byte) []byte { return t.To.append(b, " --to-source ") }

func (t *SNAT) needsConntrack() bool { return true }

func (t *SNAT) act(x *walker, p *packet.Packet) netfilter.Verdict {
	return x.bindNAT(manipSource, &t.To)
}
