package iptables

import (
	"strings"

	"github.com/svclab/svclab/datapath/packet"
)

// PktType matches the link-layer class of a packet's destination, as -m pkttype does (net/netfilter/xt_pkttype.c).
type PktType struct {
	Type   packet.PacketType
	Invert bool
}

var pktTypeNames = [...]string{"unicast", "broadcast", "multicast", "otherhost"}

var _ = registerMatch(&extension{
	name: "pkttype", options: []optionSpec{{name: "pkt-type", args: 1}}, newMatch: func() parsedMatch { return new(PktType) },
})

// Name is the name after -m.
func (m *PktType) Name() string { return "pkttype" }

func (m *PktType) set(o *option) error {
	m.Invert = o.invert
	for i, n := range pktTypeNames {
		if strings.EqualFold(n, o.arg) {
			m.Type = packet.PacketType(i)
			return nil
		}
	}
	switch strings.ToLower(o.arg) {
	case "host":
		m.Type = packet.ToHost
	case "bcast":
		m.Type = packet.Broadcast
	case "mcast":
		m.Type = packet.Multicast
	default:
		return refuse("--pkt-type", "bad packet type", o.arg)
	}
	return nil
}

func (m *PktType) finish(r *ruleParser) error { return r.mustHave(m, "--pkt-type") }

// Append appends the option.
func (m *PktType) Append(b []byte) []byte {
	if m.Invert {
		b = append(b, " !"...)
	}
	return append(append(b, " --pkt-type "...), pktTypeNames[m.Type]...)
}

func (m *PktType) match(x *walker, p *packet.Packet) bool {
	t := p.Type
	if x.w.In == "lo" || x.w.In == "" { // looped back: judged by the address
		a := p.Dst.Addr()
		switch {
		case a.IsMulticast():
			t = packet.Multicast
		case a.Is4() && a.As4() == [4]byte{255, 255, 255, 255}:
			t = packet.Broadcast
		}
	}
	return (t == m.Type) != m.Invert
}
