package datapath_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/route"
)

// matrix calls f for v4 and v6 × TCP, UDP and SCTP.
func matrix(t *testing.T, f func(t *testing.T, c matrixCase)) {
	for _, c := range matrixCases() {
		t.Run(fmt.Sprintf("%s/%s", c.family, c.proto), func(t *testing.T) { f(t, c) })
	}
}

func matrixCases() []matrixCase {
	var cases []matrixCase
	for _, fam := range []packet.Family{packet.IPv4, packet.IPv6} {
		for _, proto := range []packet.Protocol{packet.TCP, packet.UDP, packet.SCTP} {
			c := matrixCase{family: fam, proto: proto}
			if fam == packet.IPv4 {
				c.client, c.vip, c.pod, c.node = addr("203.0.113.7"), addr("10.96.0.1"), addr("10.244.1.1"), addr("192.168.10.11")
			} else {
				c.client, c.vip, c.pod, c.node = addr("2001:db8::7"), addr("fd00:96::1"), addr("fd00:244:1::1"), addr("fd00:10::11")
			}
			cases = append(cases, c)
		}
	}
	return cases
}

type matrixCase struct {
	family                 packet.Family
	proto                  packet.Protocol
	client, vip, pod, node netip.Addr
}

var addr = netip.MustParseAddr

func (c matrixCase) newNode(t *testing.T, rules string) *datapath.Node {
	t.Helper()
	r := route.New()
	r.AddInterface(route.Interface{Name: "eth0"})
	r.AddAddress("eth0", netip.PrefixFrom(c.node, c.node.BitLen()))
	r.AddInterface(route.Interface{Name: "pod0"})
	bits := 24
	if c.family == packet.IPv6 {
		bits = 64
	}
	p, _ := c.pod.Prefix(bits)
	r.AddRoute(route.Route{Prefix: p, Interface: "pod0"})
	r.AddRoute(route.Route{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Interface: "eth0"})
	r.AddRoute(route.Route{Prefix: netip.MustParsePrefix("::/0"), Interface: "eth0"})
	n := datapath.NewNode(datapath.DefaultProfile(), r)
	n.SetSource(netfilter.Words(func() uint32 { return 0 }))
	if err := n.Apply(datapath.IPTablesRestore{Family: c.family, Text: rules}); err != nil {
		t.Fatal(err)
	}
	return n
}

func (c matrixCase) first(src, dst netip.AddrPort) packet.Packet {
	p := packet.Packet{Proto: c.proto, Src: src, Dst: dst, TTL: 64, LengthBytes: 60}
	switch c.proto {
	case packet.TCP:
		p.TCPFlags = packet.SYN
	case packet.SCTP:
		p.SCTPChunk = packet.SCTPInit
	}
	return p
}

func (c matrixCase) answer(src, dst netip.AddrPort) packet.Packet {
	p := packet.Packet{Proto: c.proto, Src: src, Dst: dst, TTL: 64, LengthBytes: 60}
	switch c.proto {
	case packet.TCP:
		p.TCPFlags = packet.SYN | packet.ACK
	case packet.SCTP:
		p.SCTPChunk = packet.SCTPInitAck
	}
	return p
}

// A translated and masqueraded flow: the answer undoes what the request had done, on a node with DNAT and MASQUERADE.
func TestAnswerUndoesRequest(t *testing.T) {
	matrix(t, func(t *testing.T, c matrixCase) {
		to := netip.AddrPortFrom(c.pod, 8080)
		n := c.newNode(t, fmt.Sprintf(`*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -d %s -p %s -m %s --dport 80 -j DNAT --to-destination %s
-A POSTROUTING -d %s -j MASQUERADE
COMMIT
`, c.vip, c.proto, c.proto, to, c.pod))
		client, vip := netip.AddrPortFrom(c.client, 40000), netip.AddrPortFrom(c.vip, 80)
		p := c.first(client, vip)
		d := n.Receive(0, "eth0", &p)
		if d.Fate != datapath.Forwarded || d.Out != "pod0" || p.Dst != to || p.Src != netip.AddrPortFrom(c.node, 40000) {
			t.Fatalf("request became %s > %s, %s by %q %s", p.Src, p.Dst, d.Fate, d.Out, d.Reason)
		}
		a := c.answer(p.Dst, p.Src)
		d = n.Receive(time.Millisecond, "pod0", &a)
		if d.Fate != datapath.Forwarded || d.Out != "eth0" || a.Src != vip || a.Dst != client {
			t.Fatalf("answer became %s > %s, %s by %q %s", a.Src, a.Dst, d.Fate, d.Out, d.Reason)
		}
	})
}

// Everything that a packet changes is taken back by Undo: connections, counters, nth and recent state. The second of two
// equal walks ends as the first.
func TestUndoLeavesNothing(t *testing.T) {
	matrix(t, func(t *testing.T, c matrixCase) {
		n := c.newNode(t, fmt.Sprintf(`*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:SEP - [0:0]
-A PREROUTING -d %[1]s -m statistic --mode nth --every 2 --packet 0 -m recent --name LIST --set -j SEP
-A PREROUTING -d %[1]s -p %[3]s -m %[3]s --dport 80 -j DNAT --to-destination %[2]s
-A SEP -p %[3]s -m statistic --mode random --probability 0.5 -j DNAT --to-destination %[2]s
COMMIT
`, c.vip, netip.AddrPortFrom(c.pod, 8080), c.proto))
		before := n.Linked(c.family).Print(true)
		for i := range 3 {
			n.Undo(func() {
				p := c.first(netip.AddrPortFrom(c.client, 40000), netip.AddrPortFrom(c.vip, 80))
				if d := n.Receive(0, "eth0", &p); d.Work.Draws != 1 {
					t.Errorf("walk %d: %d draws; the nth counter moved", i, d.Work.Draws)
				}
				if n.Conns.Len() != 1 {
					t.Errorf("walk %d: %d connections inside Undo", i, n.Conns.Len())
				}
			})
			if n.Conns.Len() != 0 {
				t.Errorf("walk %d left %d connections", i, n.Conns.Len())
			}
			if after := n.Linked(c.family).Print(true); after != before {
				t.Errorf("walk %d left counters:\n%s", i, after)
			}
		}
	})
}
