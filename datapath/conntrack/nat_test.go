package conntrack

import (
	"net/netip"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// zero is chance that always draws 0.
type zero struct{}

func (zero) Intn(int) int { return 0 }

// walkNew takes a first packet through a node that maps a virtual address and, with snat, masquerades.
func walkNew(t testing.TB, tb *Table, now time.Duration, p *packet.Packet, dnat, snat Range, ch interface{ Intn(int) int }) (*Conn, ConfirmOutcome) {
	t.Helper()
	c, info, ok := tb.In(now, p, nil)
	if !ok || c == nil {
		t.Fatalf("In: conn %v info %v ok %v", c, info, ok)
	}
	if c.NeedsNAT(ManipDestination, info) {
		c.SetupNAT(now, ManipDestination, dnat, ch, nil)
	}
	c.Translate(ManipDestination, info, p)
	if c.NeedsNAT(ManipSource, info) {
		c.SetupNAT(now, ManipSource, snat, ch, nil)
	}
	c.Translate(ManipSource, info, p)
	r := tb.Confirm(now, c, info, p, nil)
	return r.Conn, r.Outcome
}

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func to(s string) Range {
	a := ap(s)
	return Range{MinAddr: a.Addr(), MinPort: a.Port(), HasPorts: true}
}

// first returns the packet that opens a flow of a protocol.
func first(proto packet.Protocol, src, dst string) *packet.Packet {
	p := &packet.Packet{Src: ap(src), Dst: ap(dst), Proto: proto}
	switch proto {
	case packet.TCP:
		p.TCPFlags = packet.SYN
	case packet.SCTP:
		p.SCTPChunk = packet.SCTPInit
	}
	return p
}

// answer returns what the receiver of p, as it stands now, sends back.
func answerTo(p *packet.Packet) *packet.Packet {
	r := &packet.Packet{Src: p.Dst, Dst: p.Src, Proto: p.Proto}
	switch p.Proto {
	case packet.TCP:
		r.TCPFlags = packet.SYN | packet.ACK
	case packet.SCTP:
		r.SCTPChunk = packet.SCTPInitAck
	}
	return r
}

// A reply inverts its request: DNAT and SNAT of a request are undone on its answer, for both families and all protocols.
func TestReplyInvertsRequest(t *testing.T) {
	for _, proto := range []packet.Protocol{packet.TCP, packet.UDP, packet.SCTP} {
		for _, a := range []struct{ client, vip, backend, node string }{
			{"10.1.0.1:5000", "10.9.10.1:80", "10.2.0.1:8080", "10.0.2.1"},
			{"[fd00:1::1]:5000", "[fd00:9::1]:80", "[fd00:2::1]:8080", "fd00:0:2::1"},
		} {
			for _, masquerade := range []bool{false, true} {
				tb := NewTable(DefaultConfig())
				req := first(proto, a.client, a.vip)
				var snat Range
				src := ap(a.client)
				if masquerade {
					snat.MinAddr = netip.MustParseAddr(a.node)
					src = netip.AddrPortFrom(snat.MinAddr, src.Port())
				}
				c, out := walkNew(t, tb, 0, req, to(a.backend), snat, zero{})
				if out != Accepted || req.Dst != ap(a.backend) || req.Src != src {
					t.Fatalf("%s %v: request became %v > %v, %v", a.client, proto, req.Src, req.Dst, out)
				}
				if c.IsSNAT() != masquerade || !c.IsDNAT() {
					t.Errorf("%s %v: DNAT %v SNAT %v", a.client, proto, c.IsDNAT(), c.IsSNAT())
				}
				rep := answerTo(req)
				c2, info, ok := tb.In(0, rep, nil)
				if !ok || c2 != c || info != EstablishedReply {
					t.Fatalf("%s %v: reply found %v, %v, %v", a.client, proto, c2, info, ok)
				}
				c2.Translate(ManipDestination, info, rep)
				if rep.Dst != ap(a.client) {
					t.Errorf("%s %v: reply goes to %v before routing", a.client, proto, rep.Dst)
				}
				if rep.Src != ap(a.backend) {
					t.Errorf("%s %v: reply's source is restored too early: %v", a.client, proto, rep.Src)
				}
				c2.Translate(ManipSource, info, rep)
				if rep.Src != ap(a.vip) {
					t.Errorf("%s %v: reply comes from %v", a.client, proto, rep.Src)
				}
			}
		}
	}
}
