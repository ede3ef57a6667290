package ipvs

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

const benchServers = 1000

func benchTable(b *testing.B, scheduler string, weight func(i int) int) (*Table, *Service) {
	t := NewTable(DefaultSysctls())
	k := AddressService(packet.TCP, netip.MustParseAddrPort("10.9.0.10:80"))
	if err := t.AddService(ServiceConfig{Key: k, Scheduler: scheduler}); err != nil {
		b.Fatal(err)
	}
	for i := range benchServers {
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 2, byte(i >> 8), byte(i)}), 8080)
		if err := t.AddDestination(k, DestinationConfig{Addr: a, Weight: weight(i)}); err != nil {
			b.Fatal(err)
		}
	}
	return t, t.Service(k)
}

func even(int) int { return 1 }

func skewed(i int) int {
	if i%100 == 0 {
		return 100
	}
	return 1 + i%3
}

// BenchmarkPick is one pick among 1,000 servers.
func BenchmarkPick(b *testing.B) {
	for _, w := range []struct {
		name   string
		weight func(int) int
	}{{"even", even}, {"skewed", skewed}} {
		for _, name := range Schedulers() {
			b.Run(name+"/"+w.name, func(b *testing.B) {
				_, s := benchTable(b, name, w.weight)
				walk := clientWalk()
				f := flow{client: netip.MustParseAddrPort("10.1.0.1:1"), dst: s.Key.Addr}
				s.sched.pick(walk, s, &f)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					f.client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 1)
					if s.sched.pick(walk, s, &f) == nil {
						b.Fatal("nobody picked")
					}
				}
			})
		}
	}
}

// BenchmarkNewConnection is a SYN through lookup, pick and table insert, into a table of up to 65,536 entries.
func BenchmarkNewConnection(b *testing.B) { benchConnections(b, 0) }

// BenchmarkConnectionLife is the same at 1,000 connections a second, with the expiry of one entry for each made.
func BenchmarkConnectionLife(b *testing.B) { benchConnections(b, time.Millisecond) }

func benchConnections(b *testing.B, pace time.Duration) {
	for _, name := range []string{"rr", "wrr", "sh", "mh"} {
		b.Run(name, func(b *testing.B) {
			t, s := benchTable(b, name, even)
			walk := clientWalk()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if pace == 0 && i%65536 == 65535 {
					b.StopTimer()
					walk.Now += time.Hour
					t.Advance(walk.Now)
					b.StartTimer()
				}
				p := packet.Packet{Src: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 16), byte(i >> 8)}), 1024+uint16(i)%50000), Dst: s.Key.Addr,
					Proto: packet.TCP, TCPFlags: packet.SYN}
				if pace > 0 {
					walk.Now += pace
					t.Advance(walk.Now)
				}
				if t.Request(walk, &p).Verdict != netfilter.Stolen {
					b.Fatal(fmt.Sprint("not forwarded: ", i))
				}
			}
		})
	}
}

// BenchmarkEstablished is a packet of an entry.
func BenchmarkEstablished(b *testing.B) {
	t, s := benchTable(b, "rr", even)
	walk := clientWalk()
	p := packet.Packet{Src: netip.MustParseAddrPort("10.1.0.1:1"), Dst: s.Key.Addr, Proto: packet.TCP, TCPFlags: packet.SYN}
	q := p
	t.Request(walk, &q)
	p.TCPFlags = packet.ACK
	b.ReportAllocs()
	for b.Loop() {
		q = p
		t.Request(walk, &q)
	}
}
