package emulator

import (
	"bytes"
	"net/netip"
	"testing"
)

// A SYN to an address out of bounds is answered as a router does that may not pass it on. Expectation: RFC 792, 1071, 1812, 4443, and
// sums worked out by adding up the whole message, which comes to all ones where a checksum is right.
func TestProhibited(t *testing.T) {
	syn4 := []byte{
		0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 9, 1, 1, 1, 1,
		0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0,
	}
	router := netip.MustParseAddr("192.168.0.1")
	a := prohibited(syn4, router)
	if len(a) != 20+8+28 || a[20] != 3 || a[21] != 13 || !bytes.Equal(a[28:], syn4[:28]) {
		t.Fatalf("answer % x", a)
	}
	src, dst, _ := addressesOf(a)
	if src != router || dst != netip.MustParseAddr("10.0.0.9") {
		t.Errorf("from %s to %s", src, dst)
	}
	if checksum(0, a[:20]) != 0xffff || checksum(0, a[20:]) != 0xffff {
		t.Errorf("checksums: % x", a)
	}

	syn6 := append([]byte{
		0x60, 0, 0, 0, 0, 20, 6, 64,
		0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9,
		0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
	}, syn4[20:]...)
	router = netip.MustParseAddr("fd00::1")
	a = prohibited(syn6, router)
	if len(a) != 48+len(syn6) || a[40] != 1 || a[41] != 1 || !bytes.Equal(a[48:], syn6) {
		t.Fatalf("answer % x", a)
	}
	pseudo := append(append([]byte{}, a[8:40]...), 0, 0, 0, byte(len(a)-40), 0, 0, 0, 58)
	if checksum(uint32(checksum(0, pseudo)), a[40:]) != 0xffff {
		t.Errorf("checksum: % x", a)
	}

	// No error is answered, and no fragment but the first.
	if a := prohibited(a, router); a != nil {
		t.Errorf("an ICMPv6 error is answered: % x", a)
	}
	fragment := bytes.Clone(syn4)
	fragment[7] = 1
	if a := prohibited(fragment, netip.MustParseAddr("192.168.0.1")); a != nil {
		t.Errorf("a later fragment is answered: % x", a)
	}
	for n := range syn4 {
		prohibited(syn4[:n], netip.MustParseAddr("192.168.0.1")) // cut short: no panic
	}
}

// A packet for a TUN has the sum of its pseudo-header where its checksum belongs, and a header that says where that is; what has none
// of TCP and UDP is left alone. Expectation: RFC 768, 8200, include/uapi/linux/virtio_net.h.
func TestDescribe(t *testing.T) {
	udp6 := []byte{
		0x60, 0, 0, 0, 0, 9, 17, 64,
		0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9,
		0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
		0x9c, 0x40, 0, 7, 0, 9, 0, 0, 'x',
	}
	head := make([]byte, tunHeader)
	describe(head, udp6)
	// fd00+9+fd00+1 + length 9 + protocol 17 = 1fa24, folded fa25.
	if head[0] != 1 || head[6] != 40 || head[8] != 6 || udp6[46] != 0xfa || udp6[47] != 0x25 {
		t.Errorf("header % x, checksum % x", head, udp6[46:48])
	}
	icmp := []byte{0x45, 0, 0, 28, 0, 1, 0, 0, 64, 1, 0, 0, 10, 0, 0, 9, 10, 0, 0, 1, 8, 0, 1, 2, 3, 4, 5, 6}
	was := bytes.Clone(icmp)
	describe(head, icmp)
	if head[0] != 0 || !bytes.Equal(icmp, was) {
		t.Errorf("header % x, packet % x", head, icmp)
	}
	for n := range udp6 {
		describe(head, bytes.Clone(udp6[:n])) // cut short: no panic
	}
}
