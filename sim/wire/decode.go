package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/svclab/svclab/datapath/packet"
)

// Decoder makes views of packets. It reuses its layers: a packet costs no allocation. One goroutine owns it; the zero value is ready.
type Decoder struct {
	ip4   layers.IPv4
	tcp   layers.TCP
	udp   layers.UDP
	sctp  layers.SCTP
	icmp4 layers.ICMPv4
	icmp6 layers.ICMPv6

	ip     int // where the IP header of the frame at hand begins
	header header
}

// Decode makes the view of a frame. What was cut off behind the transport header is not missed; a header that was cut off is a
// DecodeError. Checksums are not looked at (see Checksums): captures are full of packets that a card had yet to sum up.
func (d *Decoder) Decode(link LinkType, frame []byte) (p packet.Packet, err error) {
	d.ip = 0
	if d.header, err = linkHeader(link, frame); err != nil {
		return p, err
	}
	d.ip = d.header.bytes
	p.SrcMAC, p.Type = d.header.source, d.header.class
	switch d.header.ethernet {
	case etherIPv4:
		err = d.ipv4(&p, frame[d.ip:])
	case etherIPv6:
		err = d.ipv6(&p, frame[d.ip:])
	default:
		return p, &NotIPError{Type: d.header.ethernet}
	}
	return p, err
}

// IP is where the IP header of the last frame begins, in bytes.
func (d *Decoder) IP() int { return d.ip }

// Direction is which way the last frame passed the machine it was captured on, as far as its link layer tells: captures of the
// interface any hold what a node forwards twice.
func (d *Decoder) Direction() Direction { return d.header.way }

func (d *Decoder) ipv4(p *packet.Packet, b []byte) error {
	if len(b) > 0 && b[0]>>4 != 4 {
		return &DecodeError{Header: "IPv4", At: d.ip, Why: fmt.Sprintf("its version is %d", b[0]>>4)}
	}
	if err := reads(&d.ip4, b, 20); err != nil {
		return fault("IPv4", d.ip, 20, b, err)
	}
	p.Src, p.Dst = at(d.ip4.SrcIP, 0), at(d.ip4.DstIP, 0)
	p.Proto, p.TTL, p.TOS = packet.Protocol(d.ip4.Protocol), d.ip4.TTL, d.ip4.TOS
	p.FragmentOffset, p.MoreFragments = d.ip4.FragOffset, d.ip4.Flags&layers.IPv4MoreFragments != 0
	p.LengthBytes = uint32(d.ip4.Length)
	return d.transport(p, d.ip4.Payload, d.ip+int(d.ip4.IHL)*4)
}

// ipv6 reads the fixed header itself: gopacket looks into the options of a hop-by-hop header, none of which matters to rules, and
// gives up where one lies.
func (d *Decoder) ipv6(p *packet.Packet, b []byte) error {
	if len(b) > 0 && b[0]>>4 != 6 {
		return &DecodeError{Header: "IPv6", At: d.ip, Why: fmt.Sprintf("its version is %d", b[0]>>4)}
	}
	if len(b) < 40 {
		return fault("IPv6", d.ip, 40, b, nil)
	}
	length := int(binary.BigEndian.Uint16(b[4:]))
	if length == 0 && b[6] == hopByHop {
		return &DecodeError{Header: "IPv6", At: d.ip, Why: "a payload length of 0: jumbograms are not modelled"}
	}
	p.Src, p.Dst = at(b[8:24], 0), at(b[24:40], 0)
	p.TTL, p.TOS, p.LengthBytes = b[7], b[0]<<4|b[1]>>4, 40+uint32(length)
	payload := b[40:min(len(b), 40+length)]
	x, err := extensions(b[6], payload, d.ip+40)
	if err != nil {
		return err
	}
	p.Proto, p.FragmentOffset, p.MoreFragments = x.proto, x.fragment, x.more
	return d.transport(p, payload[x.bytes:], d.ip+40+x.bytes)
}

func at(ip net.IP, port uint16) netip.AddrPort {
	a, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(a, port)
}

// transport fills in what stands behind the IP header.
func (d *Decoder) transport(p *packet.Packet, b []byte, offset int) error {
	if p.IsLaterFragment() {
		return nil
	}
	ports := func(src, dst uint16) {
		p.Src, p.Dst = netip.AddrPortFrom(p.Src.Addr(), src), netip.AddrPortFrom(p.Dst.Addr(), dst)
	}
	switch {
	case p.Proto == packet.TCP:
		// Options that lie, or were cut off, spoil nothing but themselves.
		if err := reads(&d.tcp, b, 20); err != nil && (len(b) < 20 || d.tcp.DataOffset < 5) {
			return fault("TCP", offset, 20, b, err)
		}
		d.tcpView(p, b)
		ports(uint16(d.tcp.SrcPort), uint16(d.tcp.DstPort))
	case p.Proto == packet.UDP:
		if err := reads(&d.udp, b, 8); err != nil {
			return fault("UDP", offset, 8, b, err)
		}
		ports(uint16(d.udp.SrcPort), uint16(d.udp.DstPort))
	case p.Proto == packet.SCTP:
		if err := reads(&d.sctp, b, 12); err != nil {
			return fault("SCTP", offset, 12, b, err)
		}
		ports(uint16(d.sctp.SrcPort), uint16(d.sctp.DstPort))
		if len(d.sctp.Payload) == 0 {
			return &DecodeError{Header: "SCTP chunk", At: offset + 12, Need: 4}
		}
		p.SCTPChunk = packet.SCTPChunk(d.sctp.Payload[0])
	case p.Proto == packet.ICMP && p.Family() == packet.IPv4:
		if err := reads(&d.icmp4, b, 8); err != nil {
			return fault("ICMP", offset, 8, b, err)
		}
		p.ICMPType, p.ICMPCode = d.icmp4.TypeCode.Type(), d.icmp4.TypeCode.Code()
		if p.IsICMPError() {
			p.Quoted = quotedTuple(d.icmp4.Payload)
		} else {
			ports(d.icmp4.Id, 0)
		}
	case p.Proto == packet.ICMPv6 && p.Family() == packet.IPv6:
		if err := reads(&d.icmp6, b, 8); err != nil {
			return fault("ICMPv6", offset, 8, b, err)
		}
		p.ICMPType, p.ICMPCode = d.icmp6.TypeCode.Type(), d.icmp6.TypeCode.Code()
		switch {
		case p.IsICMPError():
			p.Quoted = quotedTuple(d.icmp6.Payload[4:])
		case p.ICMPType == 128 || p.ICMPType == 129:
			ports(binary.BigEndian.Uint16(d.icmp6.Payload), 0)
		}
	}
	return nil
}

// errShort says that there are too few bytes for a header.
var errShort = errors.New("too short")

// reads hands a layer of gopacket its bytes, of which there must be some. It panics on some of them.
func reads(l gopacket.DecodingLayer, b []byte, need int) (err error) {
	if len(b) < need {
		return errShort
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("gopacket: %v", r)
		}
	}()
	return l.DecodeFromBytes(b, gopacket.NilDecodeFeedback)
}

func (d *Decoder) tcpView(p *packet.Packet, b []byte) {
	p.TCPFlags = packet.TCPFlags(b[13]) & (packet.FIN | packet.SYN | packet.RST | packet.PSH | packet.ACK | packet.URG)
	for i := range d.tcp.Options {
		if o := &d.tcp.Options[i]; o.OptionType == layers.TCPOptionKindMSS && len(o.OptionData) == 2 {
			p.TCPMSS = binary.BigEndian.Uint16(o.OptionData)
		}
	}
}

// fault says why a header could not be read.
func fault(name string, offset, need int, b []byte, err error) error {
	e := &DecodeError{Header: name, At: offset, Need: need, Have: len(b)}
	if len(b) >= need {
		e.Why = err.Error()
	}
	return e
}

// NotIPError is a frame that holds no IP packet: ARP, LLDP, and the like.
type NotIPError struct{ Type uint16 } // its Ethernet type

func (e *NotIPError) Error() string {
	return fmt.Sprintf("Ethernet type 0x%04x is not IP", e.Type)
}

// IsNotIP reports whether an error is about a frame that holds no IP packet.
func IsNotIP(err error) bool {
	var e *NotIPError
	return errors.As(err, &e)
}

// SequenceOf reads the sequence and acknowledgment numbers of a packet, given from its IP header on; false when it is none of TCP, or
// they were cut off.
func SequenceOf(ip []byte) (seq, ack uint32, ok bool) {
	var d Decoder
	if p, err := d.Decode(Raw, ip); err != nil || p.Proto != packet.TCP || p.IsLaterFragment() {
		return 0, 0, false
	}
	return d.tcp.Seq, d.tcp.Ack, true
}

// DatagramOf says where the payload of a UDP packet begins, given from its IP header on; false when it is none of UDP, or its
// headers were cut off.
func DatagramOf(ip []byte) (at int, ok bool) {
	var d Decoder
	if p, err := d.Decode(Raw, ip); err != nil || p.Proto != packet.UDP || p.IsLaterFragment() {
		return 0, false
	}
	if ip[0]>>4 == 6 {
		x, _ := extensions(ip[6], ip[40:], 0)
		return 40 + x.bytes + 8, true
	}
	return int(ip[0]&15)*4 + 8, true
}
