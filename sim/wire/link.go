package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/svclab/svclab/datapath/packet"
)

// LinkType is a kind of link-layer header, by its number in captures (https://www.tcpdump.org/linktypes.html).
type LinkType uint16

// The link types that are read. Raw is written.
const (
	Null      LinkType = 0   // BSD loopback, the family in the byte order of the machine
	Ethernet  LinkType = 1   // with or without VLAN tags
	Raw       LinkType = 101 // IPv4 or IPv6, told by the first byte
	Loop      LinkType = 108 // OpenBSD loopback, the family in network order
	LinuxSLL  LinkType = 113 // "cooked": captures of the interface any
	RawIPv4   LinkType = 228
	RawIPv6   LinkType = 229
	LinuxSLL2 LinkType = 276 // cooked, with the index of the interface
)

var linkNames = map[LinkType]string{
	Null: "NULL", Ethernet: "ETHERNET", Raw: "RAW", Loop: "LOOP", LinuxSLL: "LINUX_SLL", RawIPv4: "IPV4", RawIPv6: "IPV6", LinuxSLL2: "LINUX_SLL2",
}

func (l LinkType) String() string {
	if n := linkNames[l]; n != "" {
		return n
	}
	return fmt.Sprintf("%d", uint16(l))
}

// linkOf takes the numbers that some systems write for raw IP for it: those of their own DLT_RAW.
func linkOf(n uint16) LinkType {
	if n == 12 || n == 14 {
		return Raw
	}
	return LinkType(n)
}

// The Ethernet types that lead to IP, and those of VLAN tags (IEEE 802.1Q, 802.1ad, and the one before it).
const (
	etherIPv4  = 0x0800
	etherIPv6  = 0x86dd
	etherVLAN  = 0x8100
	etherSVLAN = 0x88a8
	etherQinQ  = 0x9100
)

// header is what a link-layer header says of a packet.
type header struct {
	bytes    int // its length: the IP header begins there
	ethernet uint16
	source   packet.MAC
	class    packet.PacketType
	way      Direction
}

// linkHeader reads a link-layer header, VLAN tags included.
func linkHeader(link LinkType, b []byte) (h header, err error) {
	switch link {
	case Raw, RawIPv4, RawIPv6:
		return header{ethernet: etherOf(b)}, nil
	case Null, Loop:
		return loopback(link, b)
	case Ethernet:
		h, err = ethernet(b)
	case LinuxSLL:
		h, err = cooked(b)
	case LinuxSLL2:
		h, err = cooked2(b)
	default:
		return header{}, &LinkTypeError{link}
	}
	if err == nil {
		err = h.tags(b)
	}
	return h, err
}

// etherOf tells raw IP's version by its first half byte.
func etherOf(b []byte) uint16 {
	if len(b) > 0 && b[0]>>4 == 6 {
		return etherIPv6
	}
	return etherIPv4
}

// loopback reads the family of BSD loopback: 2 is IPv4; 24, 28 and 30 are the IPv6 of NetBSD, FreeBSD and Darwin, 10 that of Linux.
// Null is in the order of whoever wrote it.
func loopback(link LinkType, b []byte) (header, error) {
	if len(b) < 4 {
		return header{}, &DecodeError{Header: "loopback", Need: 4, Have: len(b)}
	}
	family := binary.BigEndian.Uint32(b)
	if link == Null && family > 0xffff {
		family = binary.LittleEndian.Uint32(b)
	}
	switch family {
	case 2:
		return header{bytes: 4, ethernet: etherIPv4}, nil
	case 10, 24, 28, 30:
		return header{bytes: 4, ethernet: etherIPv6}, nil
	}
	return header{}, &DecodeError{Header: "loopback", Why: fmt.Sprintf("family %d is neither IPv4 nor IPv6", family)}
}

// ethernet reads an Ethernet header (IEEE 802.3). The class of its destination is told by the group bit.
func ethernet(b []byte) (header, error) {
	const length = 14
	if len(b) < length {
		return header{}, &DecodeError{Header: "Ethernet", Need: length, Have: len(b)}
	}
	h := header{bytes: length, ethernet: binary.BigEndian.Uint16(b[12:]), source: packet.MAC(b[6:12])}
	switch {
	case packet.MAC(b) == packet.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}:
		h.class = packet.Broadcast
	case b[0]&1 != 0:
		h.class = packet.Multicast
	}
	return h, nil
}

// cooked reads a header of Linux's packet sockets (LINKTYPE_LINUX_SLL): packet type, hardware type, length of the sender's
// address, that address in 8 bytes, protocol.
func cooked(b []byte) (header, error) {
	const length = 16
	if len(b) < length {
		return header{}, &DecodeError{Header: "Linux cooked", Need: length, Have: len(b)}
	}
	h := header{bytes: length, ethernet: binary.BigEndian.Uint16(b[14:])}
	h.class, h.way = classOf(binary.BigEndian.Uint16(b))
	if binary.BigEndian.Uint16(b[4:]) == 6 {
		h.source = packet.MAC(b[6:12])
	}
	return h, nil
}

// cooked2 reads its second version (LINKTYPE_LINUX_SLL2): protocol, two bytes of nothing, interface index, hardware type, packet
// type, length of the sender's address, that address in 8 bytes.
func cooked2(b []byte) (header, error) {
	const length = 20
	if len(b) < length {
		return header{}, &DecodeError{Header: "Linux cooked v2", Need: length, Have: len(b)}
	}
	h := header{bytes: length, ethernet: binary.BigEndian.Uint16(b)}
	h.class, h.way = classOf(uint16(b[10]))
	if b[11] == 6 {
		h.source = packet.MAC(b[12:18])
	}
	return h, nil
}

// tags passes VLAN tags over.
func (h *header) tags(b []byte) error {
	for isTag(h.ethernet) {
		if len(b) < h.bytes+4 {
			return &DecodeError{Header: "VLAN", At: h.bytes, Need: 4, Have: len(b) - h.bytes}
		}
		h.ethernet = binary.BigEndian.Uint16(b[h.bytes+2:])
		h.bytes += 4
	}
	return nil
}

func isTag(t uint16) bool { return t == etherVLAN || t == etherSVLAN || t == etherQinQ }

// classOf turns a packet type of Linux (include/uapi/linux/if_packet.h) into ours, and tells what left from what came.
func classOf(t uint16) (class packet.PacketType, way Direction) {
	switch t {
	case 1:
		return packet.Broadcast, Inbound
	case 2:
		return packet.Multicast, Inbound
	case 3:
		return packet.OtherHost, Inbound
	case 4:
		return packet.ToHost, Outbound
	}
	return packet.ToHost, Inbound
}
