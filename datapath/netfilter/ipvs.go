package netfilter

import (
	"net/netip"

	"github.com/svclab/svclab/datapath/packet"
)

// IPVSView answers questions of -m ipvs about a packet.
type IPVSView interface {
	// Handled reports whether IPVS has forwarded this packet.
	Handled(p *packet.Packet) bool
	// Entry describes the connection of a packet on its way to a server; ok is false where there is none.
	Entry(p *packet.Packet) (e IPVSEntry, ok bool)
}

// IPVSEntry is what -m ipvs can ask of a connection.
type IPVSEntry struct {
	Virtual netip.AddrPort
	Method  IPVSMethod
	Control netip.AddrPort // virtual address of the template that the connection belongs to; invalid without
}

// IPVSMethod is how packets get to the server, as --vmethod tells them apart.
type IPVSMethod uint8

// The methods. The zero value is none that --vmethod can name.
const (
	IPVSOther IPVSMethod = iota
	IPVSGate
	IPVSTunnel
	IPVSMasquerade
)

var ipvsMethodNames = [...]string{IPVSOther: "?", IPVSGate: "GATE", IPVSTunnel: "IPIP", IPVSMasquerade: "MASQ"}

func (m IPVSMethod) String() string {
	if int(m) < len(ipvsMethodNames) {
		return ipvsMethodNames[m]
	}
	return "?"
}

// ParseIPVSMethod reads GATE, IPIP or MASQ.
func ParseIPVSMethod(s string) (IPVSMethod, bool) {
	for m := IPVSGate; m <= IPVSMasquerade; m++ {
		if ipvsMethodNames[m] == s {
			return m, true
		}
	}
	return 0, false
}
