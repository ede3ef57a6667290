package iptables

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/svclab/svclab/datapath/conntrack"
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// IPVS matches packets that IPVS has forwarded, by their virtual service, as -m ipvs does (net/netfilter/xt_ipvs.c, ipvs_mt,
// v6.1). Any condition but --ipvs itself is false for a packet that IPVS has not dealt with, inverted or not.
type IPVS struct {
	conditions uint8 // of the constants below
	inverted   uint8
	proto      packet.Protocol
	addr       Address
	vport      uint16
	reply      bool
	method     netfilter.IPVSMethod
	control    uint16
}

// The conditions, in the order in which iptables-save prints them.
const (
	ipvsHandled = 1 << iota
	ipvsProto
	ipvsAddr
	ipvsPort
	ipvsDir
	ipvsMethod
	ipvsControl
)

var _ = registerMatch(&extension{
	name: "ipvs",
	options: []optionSpec{
		{name: "ipvs"}, {name: "vproto", args: 1}, {name: "vaddr", args: 1}, {name: "vport", args: 1},
		{name: "vdir", args: 1, noInvert: true}, {name: "vmethod", args: 1}, {name: "vportctl", args: 1},
	},
	newMatch: func() parsedMatch { return new(IPVS) },
})

// Name is the name after -m.
func (m *IPVS) Name() string { return "ipvs" }

func (m *IPVS) set(o *option) (err error) {
	bit := uint8(0)
	switch o.name {
	case "ipvs":
		bit = ipvsHandled
	case "vproto":
		bit = ipvsProto
		m.proto, err = parseProtocol(o.arg)
	case "vaddr":
		bit = ipvsAddr
		f := packet.IPv4
		if strings.Contains(o.arg, ":") {
			f = packet.IPv6
		}
		m.addr, err = parseAddress("--vaddr", o.arg, f)
	case "vport", "vportctl":
		bit = ipvsPort
		to := &m.vport
		if o.name == "vportctl" {
			bit, to = ipvsControl, &m.control
		}
		*to, err = parsePort("--"+o.name, o.arg)
	case "vdir":
		bit = ipvsDir
		m.reply = strings.EqualFold(o.arg, "REPLY")
		if !m.reply && !strings.EqualFold(o.arg, "ORIGINAL") {
			err = o.badValue()
		}
	case "vmethod":
		bit = ipvsMethod
		var ok bool
		if m.method, ok = netfilter.ParseIPVSMethod(strings.ToUpper(o.arg)); !ok {
			err = o.badValue()
		}
	}
	m.conditions |= bit
	if o.invert {
		m.inverted |= bit
	}
	return err
}

func (m *IPVS) finish(*ruleParser) error {
	if m.conditions == 0 {
		return refuse(m.Name(), "an option must be specified", "")
	}
	return nil
}

// Append appends the options.
func (m *IPVS) Append(b []byte) []byte {
	option := func(bit uint8, name, value string) {
		if m.conditions&bit == 0 || bit == ipvsHandled && m.conditions != ipvsHandled {
			return
		}
		if m.inverted&bit != 0 {
			b = append(b, " !"...)
		}
		b = append(b, " --"+name...)
		if value != "" {
			b = append(b, " "+value...)
		}
	}
	number := func(n uint16) string { return strconv.Itoa(int(n)) }
	option(ipvsHandled, "ipvs", "")
	option(ipvsProto, "vproto", number(uint16(m.proto)))
	option(ipvsAddr, "vaddr", m.spellAddress())
	option(ipvsPort, "vport", number(m.vport))
	dir := "ORIGINAL"
	if m.reply {
		dir = "REPLY"
	}
	option(ipvsDir, "vdir", dir)
	option(ipvsMethod, "vmethod", m.method.String())
	option(ipvsControl, "vportctl", number(m.control))
	return b
}

func (m *IPVS) spellAddress() string {
	if !m.addr.Addr.IsValid() {
		return ""
	}
	s := m.addr.Addr.String()
	if f := packet.FamilyOf(m.addr.Addr); m.addr.Mask != fullMask(f) {
		n := 0
		for n < addrBits(f) && prefixMask(n, f) != m.addr.Mask {
			n++
		}
		if prefixMask(n, f) == m.addr.Mask {
			return s + "/" + strconv.Itoa(n)
		}
		return s + "/" + m.addr.Mask.String()
	}
	return s
}

func (m *IPVS) needsConntrack() bool { return m.conditions&ipvsDir != 0 }

func (m *IPVS) match(x *walker, p *packet.Packet) bool {
	handled := x.w.IPVS != nil && x.w.IPVS.Handled(p)
	if m.conditions == ipvsHandled {
		return handled != (m.inverted&ipvsHandled != 0)
	}
	if !handled {
		return false
	}
	x.w.Work.Lookups++
	e, ok := x.w.IPVS.Entry(p)
	if !ok {
		return false
	}
	test := func(bit uint8, is bool) bool {
		return m.conditions&bit == 0 || is != (m.inverted&bit != 0)
	}
	return test(ipvsProto, p.Proto == m.proto) &&
		test(ipvsAddr, m.holds(e.Virtual.Addr())) &&
		test(ipvsPort, e.Virtual.Port() == m.vport) &&
		test(ipvsControl, e.Control.IsValid() && e.Control.Port() == m.control) &&
		test(ipvsMethod, e.Method == m.method) &&
		(m.conditions&ipvsDir == 0 || m.direction(x.w))
}

func (m *IPVS) holds(a netip.Addr) bool {
	return packet.FamilyOf(a) == packet.FamilyOf(m.addr.Addr) && maskAddr(a, m.addr.Mask) == m.addr.Addr
}

// direction compares with the packet's side of its connection; without one, no direction is right.
func (m *IPVS) direction(w *netfilter.Walk) bool {
	return w.Conn != nil && w.Info != conntrack.Untracked && w.Info.IsReply() == m.reply
}
