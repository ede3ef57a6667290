package conntrack

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// Before Linux 5.6 the second of two datagrams of one flow was dropped when they were sent to different backends; to the same one it
// joined the first (commits ed07d9a021df of 4.19 and 6a757c07e51f of 5.6).
func TestClashBefore56(t *testing.T) {
	for second, want := range map[string]ConfirmOutcome{"10.2.0.1:5353": Joined, "10.2.0.2:5353": Dropped} {
		c := DefaultConfig()
		c.ClashDrops = true
		tb := NewTable(c)
		var conns [2]*Conn
		for i, dst := range []string{"10.2.0.1:5353", second} {
			p := first(packet.UDP, "10.1.0.1:5000", "10.9.9.1:53")
			conns[i], _, _ = tb.In(0, p, nil)
			conns[i].SetupNAT(0, ManipDestination, to(dst), zero{}, nil)
			conns[i].SetupNAT(0, ManipSource, Range{}, zero{}, nil)
		}
		tb.Confirm(0, conns[0], New, nil, nil)
		if r := tb.Confirm(0, conns[1], New, nil, nil); r.Outcome != want || tb.Len() != 1 {
			t.Errorf("to %s: %v, %d entries", second, r.Outcome, tb.Len())
		}
	}
}

// Two datagrams of one flow under way at once (section 3, confirm).
func TestClash(t *testing.T) {
	start := func(h *host, proto packet.Protocol, dst Range) (*Conn, *packet.Packet) {
		p := first(proto, "10.1.0.1:5000", "10.9.9.1:53")
		c, info, _ := h.tb.In(h.now, p, nil)
		c.SetupNAT(h.now, ManipDestination, dst, zero{}, nil)
		c.Translate(ManipDestination, info, p)
		c.SetupNAT(h.now, ManipSource, Range{}, zero{}, nil)
		return c, p
	}
	for _, tc := range []struct {
		name   string
		proto  packet.Protocol
		second Range
		want   ConfirmOutcome
		len    int
	}{
		{"UDP, same backend: joined", packet.UDP, to("10.2.0.1:5353"), Joined, 1},
		{"UDP, another backend: for replies only", packet.UDP, to("10.2.0.2:5353"), Accepted, 2},
		{"TCP: dropped", packet.TCP, to("10.2.0.1:5353"), Dropped, 1},
		{"SCTP: dropped", packet.SCTP, to("10.2.0.2:5353"), Dropped, 1},
	} {
		h := &host{t: t, tb: NewTable(DefaultConfig()), ch: zero{}}
		c1, p1 := start(h, tc.proto, to("10.2.0.1:5353"))
		c2, p2 := start(h, tc.proto, tc.second)
		if r := h.tb.Confirm(0, c1, New, p1, nil); r.Outcome != Accepted {
			t.Fatalf("%s: first %v", tc.name, r.Outcome)
		}
		r := h.tb.Confirm(0, c2, New, p2, nil)
		if r.Outcome != tc.want || h.tb.Len() != tc.len {
			t.Errorf("%s: %v, %d entries", tc.name, r.Outcome, h.tb.Len())
		}
		if tc.want == Joined && r.Conn != c1 {
			t.Errorf("%s: joined to another", tc.name)
		}
		if failed := h.tb.Stats.InsertFailed == 1; failed != (tc.want == Dropped) {
			t.Errorf("%s: insert_failed %d", tc.name, h.tb.Stats.InsertFailed)
		}
		if c, _ := h.tb.Lookup(0, first(tc.proto, "10.1.0.1:5000", "10.9.9.1:53").Tuple()); c != c1 {
			t.Errorf("%s: later packets do not find the first entry", tc.name)
		}
		if tc.len == 2 {
			if n := strings.Count(h.tb.List(0, FormTool), "\n"); n != 1 {
				t.Errorf("%s: %d entries listed", tc.name, n)
			}
			rep := &packet.Packet{Src: ap("10.2.0.2:5353"), Dst: ap("10.1.0.1:5000"), Proto: packet.UDP}
			h.now = sec / 2
			h.send(rep, false)
			if rep.Src != ap("10.9.9.1:53") {
				t.Errorf("%s: reply comes from %v", tc.name, rep.Src)
			}
			h.tb.Advance(sec, nil)
			if h.tb.Len() != 1 {
				t.Errorf("%s: the second entry outlives its second", tc.name)
			}
		}
	}
}

// A full table evicts an entry that is not assured, or else drops the packet (section 3).
func TestFullTable(t *testing.T) {
	run := func(assured bool) (Stats, string, int) {
		tb := NewTable(Config{Max: 64, Buckets: 64, TCPLoose: true, Seed: 3})
		h := &host{t: t, tb: tb, ch: zero{}}
		for i := range 64 {
			c := h.connect(at("10.1.0.1", uint16(2000+i)).String(), "10.9.10.1:80")
			if !assured {
				c.Status &^= Assured
			}
		}
		dropped := 0
		for i := range 200 {
			p := first(packet.TCP, at("10.1.0.2", uint16(2000+i)).String(), "10.9.10.1:80")
			c, info, ok := tb.In(0, p, nil)
			if !ok {
				dropped++
				continue
			}
			tb.Confirm(0, c, info, p, nil)
			if tb.Len() > 64 {
				t.Fatalf("%d entries in a table of 64", tb.Len())
			}
		}
		return tb.Stats, tb.List(0, FormProc), dropped
	}
	s, _, dropped := run(true)
	if s.EarlyDrop != 0 || dropped != 200 || s.TableFull != 200 || s.Drop != 200 {
		t.Errorf("all assured: %d dropped, %+v", dropped, s)
	}
	s, list, dropped := run(false)
	if s.EarlyDrop == 0 || int(s.TableFull) != dropped {
		t.Errorf("none assured: %d dropped, %+v", dropped, s)
	}
	s2, list2, _ := run(false)
	if s != s2 || list != list2 {
		t.Error("two runs evict differently")
	}
}

// An entry whose reply tuple was altered after its binding is checked again when it is confirmed.
func TestAlteredReplyClashes(t *testing.T) {
	h := &host{t: t, tb: NewTable(DefaultConfig()), dnat: to("10.2.0.1:8080"), ch: zero{}}
	h.send(first(packet.TCP, "10.1.0.1:5000", "10.9.10.1:80"), false)
	p := first(packet.TCP, "10.1.0.1:5000", "10.9.10.2:80")
	c, info, _ := h.tb.In(0, p, nil)
	c.SetupNAT(0, ManipDestination, Range{}, zero{}, nil)
	c.SetupNAT(0, ManipSource, Range{}, zero{}, nil)
	c.AlterReplySource(ap("10.2.0.1:8080"), nil)
	if r := h.tb.Confirm(0, c, info, p, nil); r.Outcome != Dropped {
		t.Errorf("%v: two entries wait for one tuple", r.Outcome)
	}
}

// A flow costs no allocation once the table has its size: entries are used again.
func TestFlowAllocatesNothing(t *testing.T) {
	tb := NewTable(Config{Max: 5000, TCPLoose: true})
	dnat, snat := to("10.2.0.1:8080"), Range{MinAddr: ap("10.0.2.1:0").Addr(), RandomFully: true}
	var ch interface{ Intn(int) int } = &spread{}
	i := 0
	flow := func() {
		i++
		p := packet.Packet{Src: at4(i), Dst: ap4, Proto: packet.UDP}
		now := sec * 30 / 1000 * time.Duration(i)
		tb.Advance(now, nil)
		c, info, _ := tb.In(now, &p, nil)
		c.SetupNAT(now, ManipDestination, dnat, ch, nil)
		c.Translate(ManipDestination, info, &p)
		c.SetupNAT(now, ManipSource, snat, ch, nil)
		c.Translate(ManipSource, info, &p)
		if tb.Confirm(now, c, info, &p, nil).Outcome != Accepted {
			t.Fatal("not accepted")
		}
	}
	for range 3000 {
		flow()
	}
	if n := testing.AllocsPerRun(3000, flow); n != 0 {
		t.Errorf("%v allocations a flow", n)
	}
	if tb.Len() < 900 || tb.Len() > 1100 {
		t.Errorf("%d entries live 30 s at 1000 in 30 s", tb.Len())
	}
}

// spread is chance that draws every number in turn.
type spread struct{ n int }

func (s *spread) Intn(n int) int { s.n += 7919; return s.n % n }

var ap4 = ap("10.9.10.1:80")

func at4(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 16), byte(i >> 8)}), uint16(1024+i&0xff))
}

// A segment out of the window is INVALID and changes nothing, unless nf_conntrack_tcp_be_liberal is set
// (net/netfilter/nf_conntrack_proto_tcp.c, nf_conntrack_tcp_packet: NFCT_TCP_INVALID).
func TestOutOfWindow(t *testing.T) {
	tb := NewTable(DefaultConfig())
	syn := first(packet.TCP, "10.1.0.1:5000", "10.9.9.1:80")
	c, info, _ := tb.In(0, syn, nil)
	tb.Confirm(0, c, info, syn, nil)
	for _, f := range []packet.TCPFlags{packet.SYN | packet.ACK, packet.ACK} {
		p := *syn
		if p.TCPFlags = f; f != packet.ACK {
			p.Src, p.Dst = p.Dst, p.Src
		}
		tb.In(0, &p, nil)
	}
	stray := packet.Packet{Src: syn.Dst, Dst: syn.Src, Proto: packet.TCP, TCPFlags: packet.ACK | packet.PSH, OutOfWindow: true}
	if got, info, ok := tb.In(0, &stray, nil); got != nil || !ok || c.State != TCPEstablished {
		t.Errorf("out of the window: entry %v, %s, state %d", got != nil, info, c.State)
	}
	tb.SetTCPBeLiberal(true)
	if got, info, _ := tb.In(0, &stray, nil); got != c || !info.IsReply() {
		t.Errorf("liberal: %v, %s", got != nil, info)
	}
}
