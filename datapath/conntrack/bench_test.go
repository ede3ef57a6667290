package conntrack

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// benchPacket is the opening packet of flow i of very many.
func benchPacket(i int, proto packet.Protocol) packet.Packet {
	p := packet.Packet{
		Src:   netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 24), byte(i >> 16), byte(i >> 8)}), uint16(1024+i&0xff)),
		Dst:   netip.MustParseAddrPort("10.9.10.1:80"),
		Proto: proto,
	}
	if proto == packet.TCP {
		p.TCPFlags = packet.SYN
	}
	return p
}

// BenchmarkNewFlow is a flow's first packet: lookup, new entry, DNAT, null binding for the source, confirmation. The
// table holds the given number of entries throughout: as many expire as are made.
func BenchmarkNewFlow(b *testing.B) {
	for _, live := range []int{1000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(live), func(b *testing.B) {
			tb := NewTable(Config{Max: 2 * live, TCPLoose: true})
			dnat := to("10.2.0.1:8080")
			base := benchPacket(0, packet.UDP)
			step := 30 * time.Second / time.Duration(live)
			now := time.Duration(0)
			one := func(i int) {
				p := base
				p.Src = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 24), byte(i >> 16), byte(i >> 8)}), uint16(1024+i&0xff))
				now += step
				tb.Advance(now, nil)
				c, info, _ := tb.In(now, &p, nil)
				c.SetupNAT(now, ManipDestination, dnat, zero{}, nil)
				c.Translate(ManipDestination, info, &p)
				c.SetupNAT(now, ManipSource, Range{}, zero{}, nil)
				c.Translate(ManipSource, info, &p)
				if tb.Confirm(now, c, info, &p, nil).Outcome != Accepted {
					b.Fatal("not accepted")
				}
			}
			for i := range live * 5 / 4 {
				one(i)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				one(live*5/4 + i)
			}
			b.StopTimer()
			if n := tb.Len(); n < live-2 || n > live+2 {
				b.Fatalf("%d entries", n)
			}
		})
	}
}

// BenchmarkEstablished is a later packet of a connection, taken from as many as given in a scattered order.
func BenchmarkEstablished(b *testing.B) {
	for _, live := range []int{1000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(live), func(b *testing.B) {
			tb := NewTable(Config{TCPLoose: true})
			src := make([]netip.AddrPort, live)
			var p packet.Packet
			for i := range src {
				p = benchPacket(i, packet.TCP)
				src[i] = p.Src
				q := p
				walkNew(b, tb, 0, &q, to("10.2.0.1:8080"), Range{}, zero{})
				rep := answerTo(&q)
				tb.In(0, rep, nil)
				p.TCPFlags = packet.ACK
				tb.In(0, &p, nil)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				p.Src = src[i*7919%live]
				if _, info, _ := tb.In(time.Duration(i), &p, nil); info != Established {
					b.Fatal(info)
				}
			}
		})
	}
}

// BenchmarkReferenceMap is a lookup in a Go map of tuples: a yardstick for the machine the others run on.
func BenchmarkReferenceMap(b *testing.B) {
	m := map[packet.Tuple]int{}
	keys := make([]packet.Tuple, 1000)
	for i := range keys {
		p := benchPacket(i, packet.TCP)
		keys[i] = p.Tuple()
		m[keys[i]] = i
	}
	for i := range b.N {
		if _, ok := m[keys[i*7919%1000]]; !ok {
			b.Fatal("lost")
		}
	}
}
