package netstack

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	sums "gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/svclab/svclab/datapath/packet"
)

// TestRFC1624 is the example of section 4: the checksum 0xDD2F of a header whose word 0x5555 becomes 0x3285 is 0x0000 after it.
func TestRFC1624(t *testing.T) {
	var d delta
	b := []byte{0x55, 0x55}
	d.put16(b, 0x3285)
	if got := d.on(0xdd2f); got != 0 {
		t.Errorf("%#04x, want 0x0000", got)
	}
	if b[0] != 0x32 || b[1] != 0x85 {
		t.Errorf("word is %x", b)
	}
}

// craft makes a packet of random content with all its checksums, by gVisor's header code.
func craft(r *rand.Rand, v6 bool, proto packet.Protocol, src, dst netip.AddrPort, payload []byte) []byte {
	var l4 []byte
	switch proto {
	case packet.TCP:
		options := []byte{1, 2, 4, 5, 180, 1, 0, 0} // the MSS at an odd distance
		l4 = make([]byte, 20+len(options)+len(payload))
		header.TCP(l4).Encode(&header.TCPFields{SrcPort: src.Port(), DstPort: dst.Port(), SeqNum: r.Uint32(), AckNum: r.Uint32(),
			DataOffset: uint8(20 + len(options)), Flags: header.TCPFlagSyn, WindowSize: uint16(r.Uint32())})
		copy(l4[20:], options)
		copy(l4[20+len(options):], payload)
	case packet.UDP:
		l4 = make([]byte, 8+len(payload))
		header.UDP(l4).Encode(&header.UDPFields{SrcPort: src.Port(), DstPort: dst.Port(), Length: uint16(len(l4))})
		copy(l4[8:], payload)
	default:
		l4 = make([]byte, 8+len(payload))
		l4[0] = 8
		if v6 {
			l4[0] = 128
		}
		binary.BigEndian.PutUint16(l4[4:], src.Port())
		copy(l4[8:], payload)
	}
	return carry(v6, proto, src.Addr(), dst.Addr(), l4)
}

// carry puts a transport packet into IP and computes its checksum.
func carry(v6 bool, proto packet.Protocol, src, dst netip.Addr, l4 []byte) []byte {
	from, to := tcpip.AddrFromSlice(src.AsSlice()), tcpip.AddrFromSlice(dst.AsSlice())
	pseudo := header.PseudoHeaderChecksum(tcpip.TransportProtocolNumber(proto), from, to, uint16(len(l4)))
	switch proto {
	case packet.TCP:
		header.TCP(l4).SetChecksum(0)
		header.TCP(l4).SetChecksum(^sums.Checksum(l4, pseudo))
	case packet.UDP:
		header.UDP(l4).SetChecksum(0)
		v := ^sums.Checksum(l4, pseudo)
		if v == 0 {
			v = 0xffff
		}
		header.UDP(l4).SetChecksum(v)
	case packet.ICMP:
		binary.BigEndian.PutUint16(l4[2:], 0)
		binary.BigEndian.PutUint16(l4[2:], ^sums.Checksum(l4, 0))
	case packet.ICMPv6:
		binary.BigEndian.PutUint16(l4[2:], 0)
		binary.BigEndian.PutUint16(l4[2:], ^sums.Checksum(l4, pseudo))
	}
	if v6 {
		b := make([]byte, 40, 40+len(l4))
		header.IPv6(b).Encode(&header.IPv6Fields{PayloadLength: uint16(len(l4)), TransportProtocol: tcpip.TransportProtocolNumber(proto), HopLimit: 64, SrcAddr: from, DstAddr: to})
		return append(b, l4...)
	}
	b := make([]byte, 20, 20+len(l4))
	header.IPv4(b).Encode(&header.IPv4Fields{TotalLength: uint16(20 + len(l4)), TTL: 64, Protocol: uint8(proto), SrcAddr: from, DstAddr: to})
	header.IPv4(b).SetChecksum(^header.IPv4(b).CalculateChecksum())
	return append(b, l4...)
}

// sound4 reports whether the checksums of an IPv4 or IPv6 packet fit, by gVisor's code and not by ours.
func soundSums(b []byte) error {
	var l4 []byte
	var from, to tcpip.Address
	var proto packet.Protocol
	if b[0]>>4 == 4 {
		h := header.IPv4(b)
		if !h.IsChecksumValid() {
			return fmt.Errorf("IPv4 header checksum %#04x", h.Checksum())
		}
		l4, from, to, proto = b[20:], h.SourceAddress(), h.DestinationAddress(), packet.Protocol(h.Protocol())
	} else {
		h := header.IPv6(b)
		l4, from, to, proto = b[40:], h.SourceAddress(), h.DestinationAddress(), packet.Protocol(h.NextHeader())
	}
	pseudo := header.PseudoHeaderChecksum(tcpip.TransportProtocolNumber(proto), from, to, uint16(len(l4)))
	if proto == packet.ICMP {
		pseudo = 0
	}
	if sum := sums.Checksum(l4, pseudo); sum != 0xffff {
		return fmt.Errorf("%s checksum sums to %#04x", proto, sum)
	}
	return nil
}

func randomAddr(r *rand.Rand, v6 bool) netip.Addr {
	var b [16]byte
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	if v6 {
		b[0] = 0xfd
		return netip.AddrFrom16(b)
	}
	return netip.AddrFrom4([4]byte(b[:4]))
}

// TestRewrite changes what a walk may change in random packets and lets gVisor verify every checksum: the incremental ones must
// be what a computation over all bytes gives. A second rewrite back must restore every byte.
func TestRewrite(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, v6 := range []bool{false, true} {
		for _, proto := range []packet.Protocol{packet.TCP, packet.UDP, packet.ICMP} {
			if v6 && proto == packet.ICMP {
				proto = packet.ICMPv6
			}
			for range 2000 {
				port := func() uint16 { return uint16(r.Uint32()) }
				src, dst := netip.AddrPortFrom(randomAddr(r, v6), port()), netip.AddrPortFrom(randomAddr(r, v6), port())
				payload := make([]byte, r.IntN(50))
				for i := range payload {
					payload[i] = byte(r.Uint32())
				}
				b := craft(r, v6, proto, src, dst, payload)
				if err := soundSums(b); err != nil {
					t.Fatal("crafted: ", err)
				}
				original := string(b)
				var was packet.Packet
				var l layout
				if f := read(flat(b), len(b), &was, &l); f != sound {
					t.Fatal(v6, proto, f)
				}
				is := was
				change := func(p *netip.AddrPort, ports bool) {
					switch r.IntN(4) {
					case 0:
						*p = netip.AddrPortFrom(randomAddr(r, v6), p.Port())
					case 1:
						if ports {
							*p = netip.AddrPortFrom(p.Addr(), port())
						}
					case 2:
						*p = netip.AddrPortFrom(randomAddr(r, v6), p.Port())
						if ports {
							*p = netip.AddrPortFrom(p.Addr(), port())
						}
					}
				}
				change(&is.Src, true)
				change(&is.Dst, proto.HasPorts())
				is.TTL--
				if r.IntN(2) == 0 {
					is.TOS = byte(r.Uint32())
				}
				if proto == packet.TCP {
					is.TCPMSS = uint16(r.Uint32())
				}
				rewrite(b, &l, &was, &is, true)
				if err := soundSums(b); err != nil {
					t.Fatalf("v6 %v %s: %v\n%+v\n%+v", v6, proto, err, was, is)
				}
				var now packet.Packet
				if f := read(flat(b), len(b), &now, &l); f != sound || now != is {
					t.Fatalf("v6 %v %s: read %v\n%+v, want\n%+v", v6, proto, f, now, is)
				}
				if !goodChecksums(b, &l, &now) {
					t.Fatal("our own verification refuses it")
				}
				rewrite(b, &l, &is, &was, true)
				if string(b) != original {
					t.Fatalf("v6 %v %s: not restored\n%x\n%x", v6, proto, b, original)
				}
			}
		}
	}
}

// TestRewriteQuoted does so with ICMP errors that quote packets of every protocol, whole and cut off after 8 bytes: the quoted
// checksums and the error's own must fit.
func TestRewriteQuoted(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, v6 := range []bool{false, true} {
		icmp, typ := packet.ICMP, byte(3)
		if v6 {
			icmp, typ = packet.ICMPv6, 1
		}
		for _, proto := range []packet.Protocol{packet.TCP, packet.UDP, icmp} {
			for range 1000 {
				port := func() uint16 { return uint16(r.Uint32()) }
				ap := func() netip.AddrPort { return netip.AddrPortFrom(randomAddr(r, v6), port()) }
				inner := craft(r, v6, proto, ap(), ap(), make([]byte, r.IntN(20)))
				whole := r.IntN(2) == 0
				if !whole {
					inner = inner[:map[bool]int{false: 28, true: 48}[v6]]
				}
				l4 := append([]byte{typ, 3, 0, 0, 0, 0, 0, 0}, inner...)
				b := carry(v6, icmp, randomAddr(r, v6), randomAddr(r, v6), l4)
				var was packet.Packet
				var l layout
				if f := read(flat(b), len(b), &was, &l); f != sound || !was.Quoted.IsValid() {
					t.Fatal(v6, proto, f, was)
				}
				is := was
				is.Src = netip.AddrPortFrom(randomAddr(r, v6), 0)
				is.Quoted.Src = ap()
				if proto.HasPorts() {
					is.Quoted.Dst = ap()
				} else {
					is.Quoted.Dst = netip.AddrPortFrom(randomAddr(r, v6), was.Quoted.Dst.Port())
				}
				rewrite(b, &l, &was, &is, true)
				if err := soundSums(b); err != nil {
					t.Fatalf("v6 %v quoting %s: %v", v6, proto, err)
				}
				quoted := b[l.quoted:l.end]
				if whole {
					if err := soundSums(quoted); err != nil {
						t.Fatalf("v6 %v quoted %s: %v", v6, proto, err)
					}
				} else if !v6 && !header.IPv4(quoted).IsChecksumValid() {
					t.Fatal("quoted header checksum")
				}
				var now packet.Packet
				if f := read(flat(b), len(b), &now, &l); f != sound || now != is {
					t.Fatalf("v6 %v %s: read %v\n%+v, want\n%+v", v6, proto, f, now, is)
				}
			}
		}
	}
}

// TestWrongStaysWrong: a rewrite does not heal a checksum, as it would if it were computed anew.
func TestWrongStaysWrong(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	src, dst := netip.MustParseAddrPort("10.0.0.1:1000"), netip.MustParseAddrPort("10.0.0.2:80")
	b := craft(r, false, packet.TCP, src, dst, nil)
	b[20+16] ^= 0x40
	var was packet.Packet
	var l layout
	read(flat(b), len(b), &was, &l)
	is := was
	is.Dst = netip.MustParseAddrPort("10.9.9.9:8080")
	rewrite(b, &l, &was, &is, true)
	if soundSums(b) == nil {
		t.Error("the checksum was wrong and is right now")
	}
}

// TestUDPWithoutChecksum: 0 means none (RFC 768) and stays.
func TestUDPWithoutChecksum(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	b := craft(r, false, packet.UDP, netip.MustParseAddrPort("10.0.0.1:1000"), netip.MustParseAddrPort("10.0.0.2:80"), nil)
	b[26], b[27] = 0, 0
	var was packet.Packet
	var l layout
	read(flat(b), len(b), &was, &l)
	is := was
	is.Dst = netip.MustParseAddrPort("10.9.9.9:8080")
	rewrite(b, &l, &was, &is, true)
	if b[26] != 0 || b[27] != 0 {
		t.Errorf("checksum %x", b[26:28])
	}
}

// TestSCTPChecksum takes the CRC32c of "123456789", 0xe3069283 (RFC 3720, appendix B.4, has it with others), as the anchor of the
// algorithm, and checks that a rewritten packet verifies.
func TestSCTPChecksum(t *testing.T) {
	if got := crcOf([]byte("123456789")); got != 0xe3069283 {
		t.Errorf("CRC32c %#x", got)
	}
	l4 := make([]byte, 32)
	binary.BigEndian.PutUint16(l4, 1000)
	binary.BigEndian.PutUint16(l4[2:], 80)
	l4[12], l4[15] = 1, 20
	sumSCTP(l4)
	b := carry(false, packet.SCTP, addr("10.0.0.1"), addr("10.0.0.2"), l4)
	var was packet.Packet
	var l layout
	if f := read(flat(b), len(b), &was, &l); f != sound || was.SCTPChunk != packet.SCTPInit || !goodChecksums(b, &l, &was) {
		t.Fatal(f, was)
	}
	is := was
	is.Dst = netip.MustParseAddrPort("10.9.9.9:8080")
	rewrite(b, &l, &was, &is, true)
	if !goodChecksums(b, &l, &is) {
		t.Error("checksum does not fit after the rewrite")
	}
	b[30]++
	if goodChecksums(b, &l, &is) {
		t.Error("a changed byte goes unnoticed")
	}
}

// FuzzRead gives arbitrary bytes to the reader of headers: it must not read outside them, and what it takes for sound a rewrite
// must be able to change.
func FuzzRead(f *testing.F) {
	r := rand.New(rand.NewPCG(9, 10))
	a, b := netip.MustParseAddrPort("10.0.0.1:1000"), netip.MustParseAddrPort("10.0.0.2:80")
	c, d := netip.MustParseAddrPort("[fd00::1]:1000"), netip.MustParseAddrPort("[fd00::2]:80")
	f.Add(craft(r, false, packet.TCP, a, b, nil))            // options with the MSS
	f.Add(craft(r, true, packet.UDP, c, d, make([]byte, 3))) // odd length
	f.Add(carry(false, packet.ICMP, a.Addr(), b.Addr(), append([]byte{3, 4, 0, 0, 0, 0, 5, 220}, craft(r, false, packet.UDP, a, b, nil)...)))
	f.Add(carry(true, 0, c.Addr(), d.Addr(), []byte{44, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 1, 0, 0, 0, 9, 1, 1, 2, 2, 0, 8, 0, 0})) // hop-by-hop, fragment
	f.Fuzz(func(t *testing.T, b []byte) {
		var was packet.Packet
		var l layout
		if read(flat(b), len(b), &was, &l) != sound {
			return
		}
		if l.end > len(b) || l.l4 > l.end {
			t.Fatalf("layout %+v of %d bytes", l, len(b))
		}
		is := was
		is.Dst = netip.AddrPortFrom(is.Dst.Addr().Next(), is.Dst.Port()+1)
		if !is.Dst.IsValid() {
			return
		}
		is.TCPMSS++
		if is.Quoted.IsValid() {
			is.Quoted.Src = netip.AddrPortFrom(is.Quoted.Src.Addr(), is.Quoted.Src.Port()+1)
		}
		good := goodChecksums(b, &l, &was)
		rewrite(b[:len(b):len(b)], &l, &was, &is, true)
		if good && l.quoted == 0 && !goodChecksums(b, &l, &is) {
			t.Fatalf("a rewrite spoils a checksum: %x", b)
		}
		fillChecksums(b, &l, &is)
	})
}

func crcOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }
