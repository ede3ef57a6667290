package conntrack

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

const sec = time.Second

// families are the addresses of one test in both IP versions: client, virtual address, backend, node.
var families = []struct{ client, other, vip, backend, node string }{
	{"10.1.0.1", "10.1.0.2", "10.9.10.1", "10.2.0.1", "10.0.2.1"},
	{"fd00:1::1", "fd00:1::2", "fd00:9::1", "fd00:2::1", "fd00:0:2::1"},
}

var transports = []packet.Protocol{packet.TCP, packet.UDP, packet.SCTP}

func at(a string, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(a), port)
}

// matrix runs a test for both families and all transports.
func matrix(t *testing.T, f func(t *testing.T, h *host, proto packet.Protocol, a struct{ client, other, vip, backend, node string })) {
	for _, a := range families {
		for _, proto := range transports {
			t.Run(proto.String()+" "+a.client, func(t *testing.T) {
				h := &host{t: t, tb: NewTable(DefaultConfig()), ch: zero{}}
				h.dnat = Range{MinAddr: netip.MustParseAddr(a.backend), MinPort: 8080, HasPorts: true}
				f(t, h, proto, a)
			})
		}
	}
}

// Section 5, 8: datagrams that nobody answers are NEW each time, but bound after the first.
func TestUnansweredUDPIsNew(t *testing.T) {
	h := &host{t: t, tb: NewTable(DefaultConfig()), dnat: to("10.2.0.1:5353"), ch: zero{}}
	h.send(first(packet.UDP, "10.1.0.1:5000", "10.9.9.1:53"), false)
	h.dnat = to("10.2.0.2:5353")
	c, info, _ := h.tb.In(sec, first(packet.UDP, "10.1.0.1:5000", "10.9.9.1:53"), nil)
	if info != New {
		t.Errorf("second datagram is %v", info)
	}
	if c.NeedsNAT(ManipDestination, info) || c.NeedsNAT(ManipSource, info) {
		t.Error("second datagram goes to the nat rules again")
	}
	if c.Expires != 31*sec {
		t.Errorf("expires at %v, each datagram restarts the 30 s", c.Expires)
	}
}

// Section 5, 9: 30 s, until a packet later than 2 s after the first one with a reply seen before; then 120 s.
func TestUDPStreamNeedsTwoSeconds(t *testing.T) {
	for _, tc := range []struct {
		answered bool
		at       time.Duration
		want     time.Duration
		assured  bool
	}{
		{false, 3 * sec, 30 * sec, false},
		{true, 1 * sec, 30 * sec, false},
		{true, 2 * sec, 30 * sec, false}, // not later than two seconds
		{true, 2*sec + 1, 120 * sec, true},
	} {
		h := &host{t: t, tb: NewTable(DefaultConfig()), ch: zero{}}
		_, c, _ := h.send(first(packet.UDP, "10.1.0.1:5000", "10.9.9.1:53"), false)
		if tc.answered {
			h.send(&packet.Packet{Src: c.Reply.Src, Dst: c.Reply.Dst, Proto: packet.UDP}, false)
		}
		h.now = tc.at
		h.send(first(packet.UDP, "10.1.0.1:5000", "10.9.9.1:53"), false)
		if c.Expires-h.now != tc.want || c.Status.Has(Assured) != tc.assured {
			t.Errorf("%+v: %v left, assured %v", tc, c.Expires-h.now, c.Status.Has(Assured))
		}
	}
}

// Section 5, 11 and section 4: a source port is kept if the whole tuple is free, so it can be shared by connections to
// different destinations; a replacement stays in its class.
func TestSourcePortSharingAndClasses(t *testing.T) {
	matrix(t, func(t *testing.T, h *host, proto packet.Protocol, a struct{ client, other, vip, backend, node string }) {
		h.snat = Range{MinAddr: netip.MustParseAddr(a.node)}
		send := func(client string, sport, backendPort uint16) netip.AddrPort {
			h.dnat.MinPort = backendPort
			p, _, out := h.send(first(proto, at(client, sport).String(), at(a.vip, 80).String()), false)
			if out != Accepted {
				t.Fatalf("%v: %v", sport, out)
			}
			return p.Src
		}
		for _, tc := range []struct{ sport, lo, hi uint16 }{{300, 1, 511}, {511, 1, 511}, {512, 600, 1023}, {1023, 600, 1023}, {1024, 1024, 65535}, {65535, 1024, 65535}} {
			if got := send(a.client, tc.sport, 8080); got != at(a.node, tc.sport) {
				t.Errorf("%d: first client leaves from %v", tc.sport, got)
			}
			if got := send(a.other, tc.sport, 8080).Port(); got == tc.sport || got < tc.lo || got > tc.hi {
				t.Errorf("%d: second client gets %d, outside %d-%d", tc.sport, got, tc.lo, tc.hi)
			}
		}
		// Another destination: the same source port is free again.
		h.tb.Delete(nil, nil)
		send(a.client, 5000, 8080)
		if got := send(a.other, 5000, 8081); got != at(a.node, 5000) {
			t.Errorf("to another backend port: %v", got)
		}
	})
}

// Section 4, source selection, 1: a source that has a mapping keeps it towards other destinations.
func TestSourceMappingIsReused(t *testing.T) {
	matrix(t, func(t *testing.T, h *host, proto packet.Protocol, a struct{ client, other, vip, backend, node string }) {
		h.snat = Range{MinAddr: netip.MustParseAddr(a.node)}
		h.send(first(proto, at(a.other, 5000).String(), at(a.vip, 80).String()), false)
		p, _, _ := h.send(first(proto, at(a.client, 5000).String(), at(a.vip, 80).String()), false)
		if p.Src.Port() != 1024 { // zero draws offset 0 of the class
			t.Fatalf("second client leaves from %v", p.Src)
		}
		h.dnat.MinPort = 9090
		p, _, _ = h.send(first(proto, at(a.client, 5000).String(), at(a.vip, 81).String()), false)
		if p.Src != at(a.node, 1024) {
			t.Errorf("its connection elsewhere leaves from %v: the mapping is not reused", p.Src)
		}
	})
}

// A null binding changes the port if the reply tuple is taken: two virtual addresses map to one backend and the client
// uses one source port for both.
func TestNullBindingResolvesClash(t *testing.T) {
	matrix(t, func(t *testing.T, h *host, proto packet.Protocol, a struct{ client, other, vip, backend, node string }) {
		h.send(first(proto, at(a.client, 5000).String(), at(a.vip, 80).String()), false)
		p, c, out := h.send(first(proto, at(a.client, 5000).String(), at(a.vip, 81).String()), false)
		if out != Accepted || p.Src != at(a.client, 1024) || !c.IsSNAT() {
			t.Errorf("leaves from %v, SNAT %v, %v", p.Src, c.IsSNAT(), out)
		}
	})
}

// Section 5, 12: no port is left: 128 attempts, then 64, 32, 16 and 8 from new starts; the packet is dropped at
// confirmation and insert_failed grows.
func TestExhaustedPorts(t *testing.T) {
	tb := NewTable(DefaultConfig())
	h := &host{t: t, tb: tb, dnat: to("10.2.0.1:8080"), ch: zero{}}
	h.snat = Range{MinAddr: netip.MustParseAddr("10.0.2.1"), MinPort: 2000, MaxPort: 2999, HasPorts: true}
	for i := range 128 { // taken from the start: zero draws offset 0 in each round
		if _, _, out := h.send(first(packet.TCP, at("10.1.0.1", uint16(10000+i)).String(), "10.9.10.1:80"), false); out != Accepted {
			t.Fatalf("connection %d: %v", i, out)
		}
	}
	n := &counter{}
	h.ch = n
	if _, _, out := h.send(first(packet.TCP, "10.1.0.1:20000", "10.9.10.1:80"), false); out != Dropped {
		t.Errorf("no free port among the tried: %v", out)
	}
	if n.draws != 5 {
		t.Errorf("%d rounds, want 5: 128, 64, 32, 16, 8", n.draws)
	}
	if s := tb.Stats; s.InsertFailed != 1 || s.Drop != 1 || tb.Len() != 128 {
		t.Errorf("stats %+v, %d entries", s, tb.Len())
	}
}

type counter struct{ draws int }

func (c *counter) Intn(int) int { c.draws++; return 0 }

// Section 5, 18: a SYN for a connection that was closed makes a new one, for which the nat rules are asked again; for one
// that is open it changes nothing.
func TestSYNOnClosedConnection(t *testing.T) {
	const fin, ack, rst = packet.FIN, packet.ACK, packet.RST
	for _, tc := range []struct {
		name  string
		close func(h *host, c *Conn)
		fresh bool
	}{
		{"TIME_WAIT", func(h *host, c *Conn) {
			h.segment(c, false, fin|ack)
			h.segment(c, true, fin|ack)
			h.segment(c, false, ack)
		}, true},
		{"CLOSE by the client", func(h *host, c *Conn) { h.segment(c, false, rst) }, true},
		{"CLOSE by the server", func(h *host, c *Conn) { h.segment(c, true, rst|ack) }, false}, // source: last_dir == dir is asked for
		{"ESTABLISHED", func(h *host, c *Conn) {}, false},
	} {
		h := &host{t: t, tb: NewTable(DefaultConfig()), dnat: to("10.2.0.1:8080"), ch: zero{}}
		c := h.connect("10.1.0.1:5000", "10.9.10.1:80")
		tc.close(h, c)
		h.dnat = to("10.2.0.2:8080")
		p, _, _ := h.send(first(packet.TCP, "10.1.0.1:5000", "10.9.10.1:80"), false)
		want := map[bool]string{true: "10.2.0.2:8080", false: "10.2.0.1:8080"}[tc.fresh]
		if p.Dst != ap(want) || h.tb.Len() != 1 {
			t.Errorf("%s: SYN goes to %v, want %s; %d entries", tc.name, p.Dst, want, h.tb.Len())
		}
	}
}

// A refused connection leaves no entry: the RST that answers the SYN ends it, translated all the same.
func TestRefusedConnectionLeavesNothing(t *testing.T) {
	h := &host{t: t, tb: NewTable(DefaultConfig()), dnat: to("10.2.0.1:8080"), ch: zero{}}
	_, c, _ := h.send(first(packet.TCP, "10.1.0.1:5000", "10.9.10.1:80"), false)
	r := &packet.Packet{Src: c.Reply.Src, Dst: c.Reply.Dst, Proto: packet.TCP, TCPFlags: packet.RST | packet.ACK}
	h.send(r, false)
	if h.tb.Len() != 0 || r.Src != ap("10.9.10.1:80") || r.Dst != ap("10.1.0.1:5000") {
		t.Errorf("%d entries; RST %v > %v", h.tb.Len(), r.Src, r.Dst)
	}
}

// Section 5, 19: what makes an entry, and what is INVALID.
func TestNewAndInvalid(t *testing.T) {
	const syn, ack, fin, rst = packet.SYN, packet.ACK, packet.FIN, packet.RST
	tcp := func(f packet.TCPFlags) *packet.Packet {
		return &packet.Packet{Src: ap("10.1.0.1:5000"), Dst: ap("10.9.10.1:80"), Proto: packet.TCP, TCPFlags: f}
	}
	sctp := func(ch packet.SCTPChunk) *packet.Packet {
		return &packet.Packet{Src: ap("10.1.0.1:5000"), Dst: ap("10.9.10.1:80"), Proto: packet.SCTP, SCTPChunk: ch}
	}
	icmp := func(p packet.Protocol, typ uint8) *packet.Packet {
		src, dst := ap("10.1.0.1:77"), ap("10.9.10.1:0")
		if p == packet.ICMPv6 {
			src, dst = ap("[fd00::1]:77"), ap("[fd00::2]:0")
		}
		return &packet.Packet{Src: src, Dst: dst, Proto: p, ICMPType: typ}
	}
	later := tcp(ack)
	later.FragmentOffset = 185
	for _, tc := range []struct {
		name  string
		p     *packet.Packet
		loose bool
		want  Info
	}{
		{"SYN", tcp(syn), true, New},
		{"mid-stream ACK, tcp_loose", tcp(ack), true, New},
		{"mid-stream ACK, not loose", tcp(ack), false, Invalid},
		{"SYN/ACK out of the blue", tcp(syn | ack), true, Invalid},
		{"FIN out of the blue", tcp(fin | ack), true, Invalid},
		{"RST out of the blue", tcp(rst), true, Invalid},
		{"no flags", tcp(0), true, Invalid},
		{"SYN and FIN", tcp(syn | fin), true, Invalid},
		{"INIT", sctp(packet.SCTPInit), true, New},
		{"HEARTBEAT", sctp(packet.SCTPHeartbeat), true, New},
		{"DATA out of the blue", sctp(packet.SCTPData), true, Invalid},
		{"ABORT out of the blue", sctp(packet.SCTPAbort), true, Invalid},
		{"echo request", icmp(packet.ICMP, 8), true, New},
		{"echo reply out of the blue", icmp(packet.ICMP, 0), true, Invalid},
		{"unknown ICMP type", icmp(packet.ICMP, 42), true, Invalid},
		{"error about nothing", icmp(packet.ICMP, 3), true, Invalid},
		{"ICMPv6 echo request", icmp(packet.ICMPv6, 128), true, New},
		{"ICMPv6 error about nothing", icmp(packet.ICMPv6, 1), true, Invalid},
		{"neighbour solicitation", icmp(packet.ICMPv6, 135), true, Untracked},
		{"later fragment", later, true, Invalid},
		{"protocol 47", &packet.Packet{Src: ap("10.1.0.1:0"), Dst: ap("10.2.0.1:0"), Proto: 47}, true, New},
	} {
		tb := NewTable(Config{TCPLoose: tc.loose})
		c, info, ok := tb.In(0, tc.p, nil)
		if info != tc.want || !ok || (c != nil) != (tc.want == New) {
			t.Errorf("%s: %v, conn %v, ok %v; want %v", tc.name, info, c != nil, ok, tc.want)
		}
		if wantInvalid := map[bool]uint64{true: 1}[tc.want == Invalid]; tb.Stats.Invalid != wantInvalid || tb.Len() != map[bool]int{true: 1}[tc.want == New] {
			t.Errorf("%s: invalid %d, %d entries", tc.name, tb.Stats.Invalid, tb.Len())
		}
		tb.Release(c, nil)
		if tb.Len() != 0 {
			t.Errorf("%s: an entry of a dropped packet stays", tc.name)
		}
	}
}

// Section 5, 14: ctstate DNAT and SNAT hold for both directions.
func TestVirtualStates(t *testing.T) {
	h := &host{t: t, tb: NewTable(DefaultConfig()), dnat: to("10.2.0.1:8080"), ch: zero{}}
	_, c, _ := h.send(first(packet.UDP, "10.1.0.1:5000", "10.9.10.1:80"), false)
	if got := Mask(c, New).String(); got != "NEW,DNAT" {
		t.Error(got)
	}
	if got := Mask(c, EstablishedReply).String(); got != "ESTABLISHED,DNAT" {
		t.Error(got)
	}
	if got := Mask(nil, Invalid) | Mask(nil, Untracked); got != MaskInvalid|MaskUntracked {
		t.Error(got)
	}
	if MaskDNAT.Matches(nil, Invalid) || !(MaskRelated|MaskEstablished).Matches(c, RelatedReply) {
		t.Error("Matches")
	}
}

// ICMP errors about a translated connection are RELATED and translated with the quoted packet.
func TestICMPErrorIsTranslated(t *testing.T) {
	matrix(t, func(t *testing.T, h *host, proto packet.Protocol, a struct{ client, other, vip, backend, node string }) {
		h.snat = Range{MinAddr: netip.MustParseAddr(a.node)}
		req := first(proto, at(a.client, 5000).String(), at(a.vip, 80).String())
		h.send(req, false) // now node:5000 > backend:8080
		err := &packet.Packet{Src: at(a.backend, 0), Dst: at(a.node, 0), Proto: packet.ICMP, ICMPType: 3, ICMPCode: 3, Quoted: req.Tuple()}
		if err.Family() == packet.IPv6 {
			err.Proto, err.ICMPType, err.ICMPCode = packet.ICMPv6, 1, 4
		}
		c, info, ok := h.tb.In(h.now, err, nil)
		if info != RelatedReply || !ok || c.NeedsNAT(ManipDestination, info) {
			t.Fatalf("%v, ok %v", info, ok)
		}
		c.Translate(ManipDestination, info, err)
		if err.Dst.Addr().String() != a.client {
			t.Errorf("error goes to %v before routing", err.Dst)
		}
		c.Translate(ManipSource, info, err)
		want := packet.Tuple{Src: at(a.client, 5000), Dst: at(a.vip, 80), Proto: proto}
		if err.Src.Addr().String() != a.vip || err.Quoted != want {
			t.Errorf("error comes from %v about %v, want %s about %v", err.Src, err.Quoted, a.vip, want)
		}
		// Not to where the quoted packet came from: no relation.
		stray := *err
		stray.Dst, stray.Quoted = at(a.other, 0), req.Tuple()
		if _, info, _ := h.tb.In(h.now, &stray, nil); info != Invalid {
			t.Errorf("stray error is %v", info)
		}
	})
}

// Echo queries are told apart by their identifier, which a masquerade may change and the reply restores.
func TestPingIdentifiers(t *testing.T) {
	for _, a := range families {
		h := &host{t: t, tb: NewTable(DefaultConfig()), snat: Range{MinAddr: netip.MustParseAddr(a.node)}, ch: zero{}}
		ping := func(client string) *packet.Packet {
			p := &packet.Packet{Src: at(client, 7), Dst: at(a.backend, 0), Proto: packet.ICMP, ICMPType: 8}
			if p.Family() == packet.IPv6 {
				p.Proto, p.ICMPType = packet.ICMPv6, 128
			}
			return p
		}
		p, _, _ := h.send(ping(a.client), false)
		q, _, out := h.send(ping(a.other), false)
		if p.Src != at(a.node, 7) || out != Accepted || q.Src != at(a.node, 0) {
			t.Errorf("pings leave from %v and %v", p.Src, q.Src)
		}
		r := &packet.Packet{Src: at(a.backend, 0), Dst: at(a.node, 0), Proto: q.Proto, ICMPType: q.ICMPType - 8}
		if q.Proto == packet.ICMPv6 {
			r.ICMPType = 129
		}
		r.Src = netip.AddrPortFrom(r.Src.Addr(), q.Src.Port())
		r, _, _ = h.send(r, false)
		if r.Dst.Addr().String() != a.other || r.Src.Port() != 7 {
			t.Errorf("reply goes to %v with identifier %d", r.Dst, r.Src.Port())
		}
	}
}

// Hashes choose among a range of addresses: stable for a client, spread over clients, never outside.
func TestAddressRange(t *testing.T) {
	for _, r := range []Range{
		{MinAddr: netip.MustParseAddr("10.0.2.10"), MaxAddr: netip.MustParseAddr("10.0.2.13")},
		{MinAddr: netip.MustParseAddr("fd00::10"), MaxAddr: netip.MustParseAddr("fd00::13")},
	} {
		seen := map[netip.Addr]int{}
		for i := range 256 {
			src := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}), 5000)
			dst := "10.2.0.1:80"
			if r.MinAddr.Is6() {
				src, dst = netip.AddrPortFrom(netip.AddrFrom16([16]byte{0xfd, 15: byte(i)}), 5000), "[fd00:2::1]:80"
			}
			var got [2]netip.Addr
			for k := range got {
				h := &host{t: t, tb: NewTable(DefaultConfig()), snat: r, ch: zero{}}
				p, _, _ := h.send(first(packet.TCP, src.String(), dst), false)
				got[k] = p.Src.Addr()
			}
			if got[0] != got[1] || got[0].Less(r.MinAddr) || r.MaxAddr.Less(got[0]) {
				t.Fatalf("%v: %v", src, got)
			}
			seen[got[0]]++
		}
		if len(seen) != 4 {
			t.Errorf("256 clients use %d of 4 addresses", len(seen))
		}
	}
}

// An interface that loses its address takes the connections masqueraded by it along (section 4).
func TestKillInterface(t *testing.T) {
	h := &host{t: t, tb: NewTable(DefaultConfig()), ch: zero{}}
	_, a, _ := h.send(first(packet.TCP, "10.1.0.1:5000", "10.9.10.1:80"), false)
	h.send(first(packet.TCP, "10.1.0.1:5001", "10.9.10.1:80"), false)
	a.SetMasquerade("eth0", nil)
	if !a.OutputChanged("eth1", New) || a.OutputChanged("eth0", New) || a.OutputChanged("eth1", EstablishedReply) {
		t.Error("OutputChanged")
	}
	if h.tb.KillInterface("eth1", nil) != 0 || h.tb.KillInterface("eth0", nil) != 1 || h.tb.Len() != 1 {
		t.Errorf("%d left", h.tb.Len())
	}
}

// On newer kernels a port search may take the tuple of a connection in TIME_WAIT; on 6.1 it counts as taken.
func TestTimeWaitReuse(t *testing.T) {
	for _, reuse := range []bool{false, true} {
		cfg := DefaultConfig()
		cfg.TimeWaitReuse = reuse
		h := &host{t: t, tb: NewTable(cfg), dnat: to("10.2.0.1:8080"), ch: zero{}}
		h.snat = Range{MinAddr: netip.MustParseAddr("10.0.2.1"), MinPort: 4000, MaxPort: 4000, HasPorts: true, Random: true}
		c := h.connect("10.1.0.1:5000", "10.9.10.1:80")
		h.segment(c, false, packet.FIN|packet.ACK)
		h.segment(c, true, packet.FIN|packet.ACK)
		h.segment(c, false, packet.ACK)
		want := map[bool]ConfirmOutcome{false: Dropped, true: Accepted}[reuse]
		if _, _, out := h.send(first(packet.TCP, "10.1.0.2:5000", "10.9.10.1:80"), false); out != want {
			t.Errorf("reuse %v: %v", reuse, out)
		}
	}
}

func TestInsert(t *testing.T) {
	tb := NewTable(Config{Max: 1})
	e := Entry{
		Original: packet.Tuple{Src: ap("10.1.0.1:5000"), Dst: ap("10.9.9.1:53"), Proto: packet.UDP},
		Reply:    packet.Tuple{Src: ap("10.2.0.1:5353"), Dst: ap("10.1.0.1:5000"), Proto: packet.UDP},
		Timeout:  30 * sec, Status: SeenReply,
	}
	c, err := tb.Insert(0, e, nil)
	if err != nil || !c.IsDNAT() || c.IsSNAT() || c.Entry(0) != e {
		t.Fatalf("%v, %v", c.Entry(0), err)
	}
	if _, err := tb.Insert(0, e, nil); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	e.Original.Src, e.Reply.Dst = ap("10.1.0.1:5001"), ap("10.1.0.1:5001")
	if _, err := tb.Insert(0, e, nil); !errors.Is(err, ErrFull) {
		t.Error(err)
	}
}
