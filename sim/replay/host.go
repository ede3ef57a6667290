// Package replay is the world without stacks and wires: flows are walked packet by packet through a bare Node, as fast as it
// goes, in virtual time. It also knows the plain facts of the local node that every other world starts from: which
// interfaces and addresses it has, and by which interface a packet from somewhere arrives.
package replay

import (
	"net/netip"
	"slices"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/route"
	"github.com/svclab/svclab/datapath/service"
)

// Host is what is known of the local node beside its rules.
type Host struct {
	Name         string
	NodeIPs      []netip.Addr
	PodCIDRs     []netip.Prefix
	PodInterface string // where Pods of this node are attached
}

// Uplink is the interface that holds the node's addresses and leads everywhere but to local Pods.
const Uplink = "eth0"

// NewHost derives the host from what kube-proxy is told: InternalIPs on eth0 (ExternalIPs are not on the node), local Pods behind
// the configured bridge, behind the configured interface prefix followed by 0, or else behind pod0.
func NewHost(s *service.State) Host {
	h := Host{Name: s.Node.Name, NodeIPs: s.Node.InternalIPs, PodCIDRs: s.Node.PodCIDRs, PodInterface: "pod0"}
	switch {
	case s.Config.DetectLocalMode == service.LocalBridgeInterface && s.Config.BridgeInterface != "":
		h.PodInterface = s.Config.BridgeInterface
	case s.Config.DetectLocalMode == service.LocalInterfaceNamePrefix && s.Config.InterfacePrefix != "":
		h.PodInterface = s.Config.InterfacePrefix + "0"
	}
	return h
}

// Routes builds the node's interfaces and routes.
func (h Host) Routes() *route.Table {
	t := route.New()
	t.AddInterface(route.Interface{Name: Uplink})
	for _, a := range h.NodeIPs {
		t.AddAddress(Uplink, netip.PrefixFrom(a, a.BitLen()))
	}
	t.AddInterface(route.Interface{Name: h.PodInterface})
	for _, p := range h.PodCIDRs {
		t.AddRoute(route.Route{Prefix: p, Interface: h.PodInterface})
	}
	t.AddRoute(route.Route{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Interface: Uplink})
	t.AddRoute(route.Route{Prefix: netip.MustParsePrefix("::/0"), Interface: Uplink})
	return t
}

// IsNode reports whether an address is the node's own: its packets start at OUTPUT.
func (h Host) IsNode(a netip.Addr) bool { return a.IsLoopback() || slices.Contains(h.NodeIPs, a) }

// IsLocalPod reports whether an address is in the node's Pod CIDRs.
func (h Host) IsLocalPod(a netip.Addr) bool {
	return slices.ContainsFunc(h.PodCIDRs, func(p netip.Prefix) bool { return p.Contains(a) })
}

// Ingress is the interface by which packets from an address arrive; "" for the node's own, which start at OUTPUT.
func (h Host) Ingress(src netip.Addr) string {
	switch {
	case h.IsNode(src):
		return ""
	case h.IsLocalPod(src):
		return h.PodInterface
	}
	return Uplink
}

// FirstPacket is the packet that opens a flow: a SYN, a datagram, or an SCTP INIT, with the lengths that Linux's own stack sends.
func FirstPacket(proto packet.Protocol, src, dst netip.AddrPort) packet.Packet {
	p := packet.Packet{Src: src, Dst: dst, Proto: proto, TTL: 64}
	header := uint32(20)
	if src.Addr().Is6() {
		header = 40
	}
	switch proto {
	case packet.TCP:
		p.TCPFlags, p.TCPMSS, p.LengthBytes = packet.SYN, 1460, header+40
	case packet.SCTP:
		p.SCTPChunk, p.LengthBytes = packet.SCTPInit, header+32
	default:
		p.LengthBytes = header + 8 + 16
	}
	return p
}

// AnswerPacket is the endpoint's first packet back: SYN/ACK, a datagram, or INIT ACK.
func AnswerPacket(proto packet.Protocol, src, dst netip.AddrPort) packet.Packet {
	p := FirstPacket(proto, src, dst)
	switch proto {
	case packet.TCP:
		p.TCPFlags |= packet.ACK
	case packet.SCTP:
		p.SCTPChunk = packet.SCTPInitAck
	}
	return p
}

// LaterPacket is a packet of an open flow that carries nothing new: ACK, another datagram, or a heartbeat.
func LaterPacket(proto packet.Protocol, src, dst netip.AddrPort) packet.Packet {
	p := FirstPacket(proto, src, dst)
	switch proto {
	case packet.TCP:
		p.TCPFlags, p.TCPMSS, p.LengthBytes = packet.ACK, 0, p.LengthBytes-8
	case packet.SCTP:
		p.SCTPChunk = packet.SCTPHeartbeat
	}
	return p
}
