package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/svclab/svclab/datapath/packet"
)

// MaxPacketBytes is the longest packet that bytes are made for: the most that the length field of an IP header can say. A view
// that is longer, as those of requests in bulk are, is written as one of this length.
const MaxPacketBytes = 65535

// Unseen is what a packet's view leaves out and its bytes must have. The zero value is a packet with empty payload bytes.
type Unseen struct {
	ID       uint32 // IPv4 identification (low 16 bits), or that of an IPv6 fragment
	Seq, Ack uint32 // of TCP
	Tag      uint32 // verification tag of SCTP; in INIT 0 (RFC 9260, section 8.5.1)
}

// Encoder makes bytes of packets. It reuses its buffers; one goroutine owns it. The zero value is ready.
type Encoder struct {
	buffer  gopacket.SerializeBuffer
	stack   []gopacket.SerializableLayer
	ip4     layers.IPv4
	ip6     layers.IPv6
	tcp     layers.TCP
	udp     layers.UDP
	sctp    layers.SCTP
	icmp4   layers.ICMPv4
	icmp6   layers.ICMPv6
	options [6]layers.TCPOption
	body    []byte // zeros
	quote   *Encoder
	quoting []byte
}

var serialize = gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}

// Append appends the bytes of a packet, from its IP header on, with right lengths and checksums. A length in the view that is
// shorter than its headers is raised to them. An error is a ViewError.
func (e *Encoder) Append(dst []byte, p *packet.Packet, u Unseen) (out []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			out, err = dst, &ViewError{Why: fmt.Sprint("gopacket: ", r)}
		}
	}()
	if err := e.check(p); err != nil {
		return dst, err
	}
	if e.buffer == nil {
		e.buffer = gopacket.NewSerializeBuffer()
	}
	e.stack = e.stack[:0]
	network := e.network(p, u)
	if err := e.transport(p, u, network); err != nil {
		return dst, err
	}
	if err := gopacket.SerializeLayers(e.buffer, serialize, e.stack...); err != nil {
		return dst, &ViewError{Why: err.Error()}
	}
	b := e.buffer.Bytes()
	if p.Proto == packet.UDP && !p.IsLaterFragment() { // a sum of zero is sent as ones (RFC 768)
		if at := ipHeaderBytes(p) + 6; b[at] == 0 && b[at+1] == 0 {
			b[at], b[at+1] = 0xff, 0xff
		}
	}
	return append(dst, b...), nil
}

func (e *Encoder) check(p *packet.Packet) error {
	src, dst := packet.FamilyOf(p.Src.Addr()), packet.FamilyOf(p.Dst.Addr())
	switch {
	case src == 0 || dst == 0:
		return &ViewError{Why: fmt.Sprintf("addresses %q and %q", p.Src, p.Dst)}
	case src != dst:
		return &ViewError{Why: fmt.Sprintf("%s and %s are of two families", p.Src.Addr(), p.Dst.Addr())}
	case p.FragmentOffset >= 1<<13:
		return &ViewError{Why: fmt.Sprintf("fragment offset %d", p.FragmentOffset)}
	}
	return nil
}

// ipHeaderBytes is the length of the IP header, with a fragment header where one is needed.
func ipHeaderBytes(p *packet.Packet) int {
	switch {
	case p.Family() == packet.IPv4:
		return 20
	case isFragment(p):
		return 48
	}
	return 40
}

func isFragment(p *packet.Packet) bool { return p.FragmentOffset != 0 || p.MoreFragments }

// room is how many bytes follow the IP header.
func room(p *packet.Packet) int {
	most := MaxPacketBytes
	if p.Family() == packet.IPv6 {
		most += 40 // its length field does not count the header itself
	}
	return max(0, min(int(min(p.LengthBytes, 1<<20)), most)-ipHeaderBytes(p))
}

// PayloadBytes is how many bytes of a packet's length are behind its transport header, as Append writes it.
func PayloadBytes(p *packet.Packet) int { return max(0, room(p)-transportBytes(p)) }

// transportOf is the protocol of the header that follows the IP header; 0 where there is none that rules look into, as for a later
// fragment or for one family's ICMP in the other.
func transportOf(p *packet.Packet) packet.Protocol {
	v6 := p.Family() == packet.IPv6
	if p.IsLaterFragment() || p.Proto == packet.ICMP && v6 || p.Proto == packet.ICMPv6 && !v6 {
		return 0
	}
	return p.Proto
}

// transportBytes is the length of the transport header.
func transportBytes(p *packet.Packet) int {
	switch transportOf(p) {
	case packet.TCP:
		return 20 + tcpOptionBytes(p)
	case packet.UDP, packet.ICMP, packet.ICMPv6:
		return 8
	case packet.SCTP:
		return 12
	}
	return 0
}

// The lengths of TCP's options as Linux sends them (net/ipv4/tcp_output.c, tcp_syn_options and tcp_established_options).
const (
	synOptionBytes       = 20 // MSS, SACK permitted, timestamps, window scale
	mssOptionBytes       = 4
	timestampOptionBytes = 12
)

func tcpOptionBytes(p *packet.Packet) int {
	space := room(p) - 20
	syn := p.TCPFlags.Has(packet.SYN)
	switch {
	case p.TCPMSS != 0 && syn && space >= synOptionBytes:
		return synOptionBytes
	case p.TCPMSS != 0:
		return mssOptionBytes
	case !syn && !p.TCPFlags.Has(packet.RST) && space >= timestampOptionBytes:
		return timestampOptionBytes
	}
	return 0
}

func (e *Encoder) network(p *packet.Packet, u Unseen) gopacket.NetworkLayer {
	src, dst := p.Src.Addr().AsSlice(), p.Dst.Addr().AsSlice()
	if p.Family() == packet.IPv4 {
		e.ip4 = layers.IPv4{
			Version: 4, IHL: 5, TOS: p.TOS, Id: uint16(u.ID), TTL: p.TTL, Protocol: layers.IPProtocol(p.Proto), SrcIP: src, DstIP: dst,
			FragOffset: p.FragmentOffset,
		}
		switch {
		case p.MoreFragments:
			e.ip4.Flags = layers.IPv4MoreFragments
		case p.FragmentOffset == 0:
			e.ip4.Flags = layers.IPv4DontFragment
		}
		e.stack = append(e.stack, &e.ip4)
		return &e.ip4
	}
	e.ip6 = layers.IPv6{
		Version: 6, TrafficClass: p.TOS, HopLimit: p.TTL, NextHeader: layers.IPProtocol(p.Proto), SrcIP: src, DstIP: dst,
	}
	e.stack = append(e.stack, &e.ip6)
	if isFragment(p) {
		e.ip6.NextHeader = layers.IPProtocolIPv6Fragment
		h := make([]byte, 8)
		h[0] = uint8(p.Proto)
		binary.BigEndian.PutUint16(h[2:], p.FragmentOffset<<3)
		if p.MoreFragments {
			h[3] |= 1
		}
		binary.BigEndian.PutUint32(h[4:], u.ID)
		e.stack = append(e.stack, gopacket.Payload(h))
	}
	return &e.ip6
}

// transport stacks the transport header and what follows it.
func (e *Encoder) transport(p *packet.Packet, u Unseen, network gopacket.NetworkLayer) error {
	switch transportOf(p) {
	case 0:
		e.payload(room(p))
		return nil
	case packet.TCP:
		e.tcpHeader(p, u)
		_ = e.tcp.SetNetworkLayerForChecksum(network)
		e.stack = append(e.stack, &e.tcp)
	case packet.UDP:
		e.udp = layers.UDP{SrcPort: layers.UDPPort(p.Src.Port()), DstPort: layers.UDPPort(p.Dst.Port())}
		_ = e.udp.SetNetworkLayerForChecksum(network)
		e.stack = append(e.stack, &e.udp)
	case packet.SCTP:
		if p.SCTPChunk == packet.SCTPInit {
			u.Tag = 0
		}
		e.sctp = layers.SCTP{SrcPort: layers.SCTPPort(p.Src.Port()), DstPort: layers.SCTPPort(p.Dst.Port()), VerificationTag: u.Tag}
		e.stack = append(e.stack, &e.sctp, gopacket.Payload(e.chunk(p.SCTPChunk, room(p)-12)))
		return nil
	case packet.ICMP:
		e.icmp4 = layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(p.ICMPType, p.ICMPCode), Id: p.Src.Port()}
		e.stack = append(e.stack, &e.icmp4)
	case packet.ICMPv6:
		e.icmp6 = layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(p.ICMPType, p.ICMPCode)}
		_ = e.icmp6.SetNetworkLayerForChecksum(network)
		rest := make([]byte, 4)
		binary.BigEndian.PutUint16(rest, p.Src.Port())
		e.stack = append(e.stack, &e.icmp6, gopacket.Payload(rest))
	}
	if p.IsICMPError() && p.Quoted.IsValid() {
		return e.quoted(p)
	}
	e.payload(PayloadBytes(p))
	return nil
}

func (e *Encoder) payload(n int) {
	if cap(e.body) < n {
		e.body = make([]byte, n)
	}
	e.stack = append(e.stack, gopacket.Payload(e.body[:n]))
}

func (e *Encoder) tcpHeader(p *packet.Packet, u Unseen) {
	f := p.TCPFlags
	e.tcp = layers.TCP{
		SrcPort: layers.TCPPort(p.Src.Port()), DstPort: layers.TCPPort(p.Dst.Port()), Seq: u.Seq, Ack: u.Ack, Window: 64240,
		FIN: f.Has(packet.FIN), SYN: f.Has(packet.SYN), RST: f.Has(packet.RST), PSH: f.Has(packet.PSH), ACK: f.Has(packet.ACK), URG: f.Has(packet.URG),
	}
	if e.tcp.RST {
		e.tcp.Window = 0
	}
	options := e.options[:0]
	timestamps := layers.TCPOption{OptionType: layers.TCPOptionKindTimestamps, OptionData: []byte{0, 0, 0, 1, 0, 0, 0, 0}}
	if f.Has(packet.ACK) {
		timestamps.OptionData[7] = 1
	}
	nop := layers.TCPOption{OptionType: layers.TCPOptionKindNop}
	mss := layers.TCPOption{OptionType: layers.TCPOptionKindMSS, OptionData: []byte{uint8(p.TCPMSS >> 8), uint8(p.TCPMSS)}}
	switch tcpOptionBytes(p) {
	case synOptionBytes:
		options = append(options, mss, layers.TCPOption{OptionType: layers.TCPOptionKindSACKPermitted}, timestamps, nop,
			layers.TCPOption{OptionType: layers.TCPOptionKindWindowScale, OptionData: []byte{7}})
	case mssOptionBytes:
		options = append(options, mss)
	case timestampOptionBytes:
		options = append(options, nop, nop, timestamps)
	}
	e.tcp.Options = options
}

// quoted stacks the beginning of the packet that an ICMP error is about: its tuple is known, and its length is what the error has
// room for. Its flags are not; rules mostly reject first packets.
func (e *Encoder) quoted(p *packet.Packet) error {
	if e.quote == nil {
		e.quote = &Encoder{}
	}
	q := packet.Packet{Src: p.Quoted.Src, Dst: p.Quoted.Dst, Proto: p.Quoted.Proto, TTL: 64, TCPFlags: packet.SYN}
	if q.Proto == packet.ICMP || q.Proto == packet.ICMPv6 {
		q.ICMPType, q.ICMPCode = uint8(q.Dst.Port()>>8), uint8(q.Dst.Port())
		q.Dst = netip.AddrPortFrom(q.Dst.Addr(), 0)
	}
	n := max(PayloadBytes(p), ipHeaderBytes(&q)+8) // at least 8 bytes of it (RFC 792)
	q.LengthBytes = uint32(n)
	b, err := e.quote.Append(e.quoting[:0], &q, Unseen{})
	if err != nil {
		return &ViewError{Why: "in the packet quoted by an ICMP error: " + err.Error()}
	}
	e.quoting = b
	e.stack = append(e.stack, gopacket.Payload(b[:min(n, len(b))]))
	return nil
}
