// Package packet holds the values that travel through the datapath: packets, tuples and their parts.
//
// A Packet is a fixed-size view of the headers that Linux's netfilter, NAT and IPVS code look at. It has
// no slices and no bytes: worlds that own real bytes (a netstack, a capture, a kernel) fill one in before
// a walk and copy the changed fields back after it. What no rule can see is left out: payloads, IP options,
// sequence numbers, window sizes. IPv4 and IPv6 are one type; the family is that of the addresses.
package packet

import (
	"net/netip"
	"strconv"
)

// Packet is one packet's headers and the metadata a socket buffer carries beside them.
// The zero value is invalid: Src and Dst must hold valid addresses of one family.
type Packet struct {
	// Src and Dst are addresses and transport ports. Ports are zero for protocols without ports and for
	// fragments that do not carry the transport header. For ICMP echo the identifier stands in Src's port.
	Src, Dst netip.AddrPort
	Proto    Protocol

	TCPFlags TCPFlags // of a TCP header, else zero
	TCPMSS   uint16   // value of the TCP MSS option in bytes, 0 when absent
	// OutOfWindow says that a TCP segment lies outside of what its connection's windows allow. Sequence numbers are not in here: who
	// has the bytes knows.
	OutOfWindow bool
	ICMPType    uint8 // of an ICMP or ICMPv6 header
	ICMPCode    uint8
	SCTPChunk   SCTPChunk // type of the first SCTP chunk

	TTL            uint8  // IPv4 time to live or IPv6 hop limit
	TOS            uint8  // IPv4 type of service or IPv6 traffic class
	FragmentOffset uint16 // in units of 8 bytes; non-zero means a later fragment
	MoreFragments  bool
	LengthBytes    uint32 // IP length, header included and link header excluded, as rule counters count it

	// Quoted is, for ICMP errors, the tuple of the packet that the error is about, as the quoted header
	// spells it. Invalid otherwise.
	Quoted Tuple

	// Metadata of the socket buffer.
	Mark     uint32
	Type     PacketType // link-layer destination class
	SrcMAC   MAC
	PhysIn   string // bridge port it came in by, "" when not bridged
	PhysOut  string // bridge port it leaves by
	Owner    Owner  // socket owner, of locally generated packets
	Internal bool   // forwarded by IPVS once already: IPVS leaves it alone from here on
}

// Family is an IP version.
type Family uint8

// The families. The zero value is invalid.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

func (f Family) String() string {
	switch f {
	case IPv4:
		return "ipv4"
	case IPv6:
		return "ipv6"
	}
	return "family(" + strconv.Itoa(int(f)) + ")"
}

// FamilyOf returns the family of an address; an IPv4-mapped IPv6 address is IPv6. It is 0 for the invalid address.
func FamilyOf(a netip.Addr) Family {
	switch {
	case a.Is4():
		return IPv4
	case a.Is6():
		return IPv6
	}
	return 0
}

// Family is the IP version of the packet.
func (p *Packet) Family() Family { return FamilyOf(p.Dst.Addr()) }

// IsLaterFragment reports whether the packet is a fragment without its transport header.
func (p *Packet) IsLaterFragment() bool { return p.FragmentOffset != 0 }

// IsICMPError reports whether the packet is an ICMP or ICMPv6 error message about another packet.
func (p *Packet) IsICMPError() bool {
	switch p.Proto {
	case ICMP:
		switch p.ICMPType {
		case 3, 4, 5, 11, 12:
			return true
		}
	case ICMPv6:
		return p.ICMPType < 128
	}
	return false
}

// Tuple returns the packet's connection-tracking key: its own header as it stands now. ICMP's type and code
// take the place of the destination port, the identifier that of the source port
// (net/netfilter/nf_conntrack_proto_icmp.c, icmp_pkt_to_tuple).
func (p *Packet) Tuple() Tuple {
	t := Tuple{Src: p.Src, Dst: p.Dst, Proto: p.Proto}
	if p.Proto == ICMP || p.Proto == ICMPv6 {
		t.Dst = netip.AddrPortFrom(p.Dst.Addr(), uint16(p.ICMPType)<<8|uint16(p.ICMPCode))
	}
	return t
}

// MAC is an Ethernet address; the zero value means none known.
type MAC [6]byte

// Owner is the user and group of the socket that sent a locally generated packet.
type Owner struct {
	UID, GID uint32
	Known    bool // false: forwarded, or sent by the kernel itself
}

// PacketType is the link-layer class of a packet's destination (include/uapi/linux/if_packet.h).
type PacketType uint8

// The link-layer classes. The zero value is a packet for this host.
const (
	ToHost PacketType = iota
	Broadcast
	Multicast
	OtherHost // seen because the interface is promiscuous
)
