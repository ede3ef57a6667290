package iptables

import (
	"net/netip"
	"strings"

	"github.com/svclab/svclab/datapath/packet"
)

// addrRange is a condition on an address between two others, both included.
type addrRange struct {
	lo, hi netip.Addr
	invert bool
}

// IPRange matches addresses in ranges, as -m iprange does (net/netfilter/xt_iprange.c).
type IPRange struct{ src, dst addrRange }

var _ = registerMatch(&extension{
	name: "iprange", options: []optionSpec{{name: "src-range", args: 1}, {name: "dst-range", args: 1}},
	newMatch: func() parsedMatch { return new(IPRange) },
})

// Name is the name after -m.
func (m *IPRange) Name() string { return "iprange" }

func (m *IPRange) set(o *option) error {
	r := addrRange{invert: o.invert}
	lo, hi, isRange := strings.Cut(o.arg, "-")
	var ok bool
	if r.lo, ok = parseHost(lo, o.rule.family, true); ok {
		r.hi = r.lo
		if isRange {
			r.hi, ok = parseHost(hi, o.rule.family, true)
		}
	}
	if !ok {
		return refuse("--"+o.name, "bad IP address", o.arg)
	}
	if o.name == "src-range" {
		m.src = r
	} else {
		m.dst = r
	}
	return nil
}

func (m *IPRange) finish(*ruleParser) error {
	if !m.src.lo.IsValid() && !m.dst.lo.IsValid() {
		return refuse("iprange", "you must specify --src-range or --dst-range", "")
	}
	return nil
}

func (r *addrRange) append(b []byte, opt string) []byte {
	if !r.lo.IsValid() {
		return b
	}
	if r.invert {
		b = append(b, " !"...)
	}
	b = appendAddr(append(b, opt...), r.lo)
	return appendAddr(append(b, '-'), r.hi)
}

func (r *addrRange) contains(a netip.Addr) bool {
	return !r.lo.IsValid() || (!a.Less(r.lo) && !r.hi.Less(a)) != r.invert
}

// Append appends the options.
func (m *IPRange) Append(b []byte) []byte {
	return m.dst.append(m.src.append(b, " --src-range "), " --dst-range ")
}

func (m *IPRange) match(_ *walker, p *packet.Packet) bool {
	return m.src.contains(p.Src.Addr()) && m.dst.contains(p.Dst.Addr())
}
