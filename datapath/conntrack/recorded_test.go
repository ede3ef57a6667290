package conntrack

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// The files in testdata/recorded are event lists of Linux 6.1.176 (their "kernel" line); expectations are theirs.

type recording struct {
	Events    []json.RawMessage
	Conntrack []string
}

func load(t *testing.T, name string) recording {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "recorded", name))
	if err != nil {
		t.Fatal(err)
	}
	var r recording
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// equalEntry compares a recorded line with an entry of the table; the kernel rounds seconds down at an instant of its
// own, hence one second of tolerance.
func equalEntry(t *testing.T, what, line string, got Entry) {
	t.Helper()
	want, err := Parse("recording", line)
	if err != nil || len(want) != 1 {
		t.Fatalf("%s: %v", what, err)
	}
	if d := want[0].Timeout - got.Timeout; d < -time.Second || d > time.Second {
		t.Errorf("%s: %v left, recorded %v", what, got.Timeout, want[0].Timeout)
	}
	got.Timeout, got.MasqueradeOut = want[0].Timeout, ""
	if got != want[0] {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want[0])
	}
}

// host is a node in miniature: it maps one virtual address to one backend.
type host struct {
	t    *testing.T
	tb   *Table
	now  time.Duration
	dnat Range
	snat Range
	ch   interface{ Intn(int) int }
}

// send takes a packet through the node and returns it as it leaves; drop makes FORWARD drop it, before confirmation.
func (h *host) send(p *packet.Packet, drop bool) (out *packet.Packet, c *Conn, outcome ConfirmOutcome) {
	h.t.Helper()
	h.tb.Advance(h.now, nil)
	c, info, ok := h.tb.In(h.now, p, nil)
	if !ok || c == nil {
		h.t.Fatalf("packet %v > %v: info %v, ok %v", p.Src, p.Dst, info, ok)
	}
	if c.NeedsNAT(ManipDestination, info) {
		c.SetupNAT(h.now, ManipDestination, h.dnat, h.ch, nil)
	}
	c.Translate(ManipDestination, info, p)
	if drop {
		h.tb.Release(c, nil)
		return p, nil, Accepted
	}
	if c.NeedsNAT(ManipSource, info) {
		c.SetupNAT(h.now, ManipSource, h.snat, h.ch, nil)
	}
	c.Translate(ManipSource, info, p)
	r := h.tb.Confirm(h.now, c, info, p, nil)
	return p, r.Conn, r.Outcome
}

// segment sends a TCP segment from the client, or from the backend when reply is set.
func (h *host) segment(c *Conn, reply bool, f packet.TCPFlags) *Conn {
	h.t.Helper()
	tp := c.Original
	if reply {
		tp = c.Reply
	}
	_, got, _ := h.send(&packet.Packet{Src: tp.Src, Dst: tp.Dst, Proto: packet.TCP, TCPFlags: f}, false)
	return got
}

func (h *host) connect(client, vip string) *Conn {
	h.t.Helper()
	_, c, out := h.send(first(packet.TCP, client, vip), false)
	if out != Accepted {
		h.t.Fatalf("%s: %v", client, out)
	}
	h.segment(c, true, packet.SYN|packet.ACK)
	h.segment(c, false, packet.ACK)
	return c
}

func TestRecordedStates(t *testing.T) {
	rec := load(t, "iptables-conntrack-states.json")
	const fin, ack, syn, rst = packet.FIN, packet.ACK, packet.SYN, packet.RST
	h := &host{t: t, tb: NewTable(DefaultConfig()), dnat: to("10.2.0.1:8080"), ch: zero{}}
	u := &host{t: t, tb: h.tb, dnat: to("10.2.0.1:5353"), ch: zero{}}
	vip := "10.9.10.1:80"
	var c *Conn
	udp := func() { _, c, _ = u.send(first(packet.UDP, "10.1.0.1:5000", "10.9.10.1:53"), false) }
	udpReply := func() {
		u.send(&packet.Packet{Src: c.Reply.Src, Dst: c.Reply.Dst, Proto: packet.UDP}, false)
	}
	steps := map[string][]func(){
		"established":       {func() { c = h.connect("10.1.0.1:5001", vip) }},
		"client FIN, acked": {func() { h.segment(c, false, fin|ack); h.segment(c, true, ack) }},
		"both FIN, acked":   {func() { h.segment(c, true, fin|ack); h.segment(c, false, ack) }},
		"server FIN, acked": {func() { c = h.connect("10.1.0.1:5002", vip); h.segment(c, true, fin|ack); h.segment(c, false, ack) }},
		"then client RST":   {func() { h.segment(c, false, rst) }},
		"server RST":        {func() { c = h.connect("10.1.0.1:5003", vip); h.segment(c, true, rst|ack) }},
		"SYN only (replies dropped in FORWARD: the SYN/ACK was seen)": {func() {
			_, c, _ = h.send(first(packet.TCP, "10.1.0.1:5004", vip), false)
			h.segment(c, true, syn|ack)
		}},
		"SYN only (replies dropped in raw)": {func() { _, c, _ = h.send(first(packet.TCP, "10.1.0.1:5005", vip), false) }},
		"SYN dropped in FORWARD: never confirmed": {func() {
			before := h.tb.Len()
			h.send(first(packet.TCP, "10.1.0.1:5006", vip), true)
			if c = nil; h.tb.Len() != before {
				t.Errorf("a dropped SYN left an entry")
			}
		}},
		"one datagram":                 {udp},
		"reply":                        {udpReply, udpReply},
		"another datagram after 2.2 s": {func() { u.now += 2200 * time.Millisecond; h.now = u.now; udp() }},
	}
	for _, raw := range rec.Events {
		var ev []json.RawMessage
		var name string
		var lines []string
		if json.Unmarshal(raw, &ev) != nil || json.Unmarshal(ev[0], &name) != nil || json.Unmarshal(ev[1], &lines) != nil {
			t.Fatalf("event %s", raw)
		}
		rest := steps[name]
		if len(rest) == 0 {
			t.Fatalf("no step for recorded event %q", name)
		}
		rest[0]()
		steps[name] = rest[1:]
		if len(lines) == 1 {
			equalEntry(t, name, lines[0], c.Entry(u.now))
		} else if c != nil {
			t.Errorf("%s: an entry where the kernel has none", name)
		}
	}
}

// forced draws the offset that makes a port search try a given port first.
type forced struct {
	port, lo, size int
	draws          int
}

func (f *forced) Intn(n int) int {
	f.draws++
	if n != PortOffsets {
		panic("a draw that is not of a port offset")
	}
	if f.port < f.lo || f.port >= f.lo+f.size {
		return 0 // the recorded port is outside its class: will show as a difference
	}
	return f.port - f.lo
}

// The recorded kernels show where the original port is kept, which class a replacement comes from, that random-fully
// never keeps it, and that a full range means a dropped packet. A free draw is forced to the recorded port.
func TestRecordedMasquerade(t *testing.T) {
	for name, r := range map[string]struct {
		snat     Range
		mayKeep  bool
		lo, size int
	}{
		"iptables-masquerade-plain.json":        {Range{}, true, 0, 0},
		"iptables-masquerade-random-fully.json": {Range{RandomFully: true}, false, 0, 0},
		"iptables-masquerade-range.json":        {Range{MinPort: 40000, MaxPort: 40003, HasPorts: true}, false, 40000, 4},
	} {
		rec := load(t, name)
		h := &host{t: t, tb: NewTable(DefaultConfig()), dnat: to("10.2.0.1:8080"), snat: r.snat}
		h.snat.MinAddr = netip.MustParseAddr("10.0.2.1")
		failed := uint64(0)
		for _, raw := range rec.Events {
			var ev []any
			if err := json.Unmarshal(raw, &ev); err != nil {
				t.Fatal(err)
			}
			sport := uint16(ev[2].(float64))
			client := netip.AddrPortFrom(netip.MustParseAddr(ev[1].(string)), sport)
			f := &forced{lo: r.lo, size: r.size}
			if r.size == 0 {
				f.lo, f.size = portClass(sport)
			}
			h.ch = f
			var seen netip.AddrPort
			if ev[3] != nil {
				seen = ap(ev[4].(string))
				f.port = int(seen.Port())
			}
			p, c, out := h.send(first(packet.TCP, client.String(), "10.9.7.1:80"), false)
			if ev[3] == nil {
				failed++
				if out != Dropped || h.tb.Stats.InsertFailed != failed {
					t.Errorf("%s %v: %v, insert_failed %d, recorded a timeout", name, client, out, h.tb.Stats.InsertFailed)
				}
				continue
			}
			if out != Accepted || p.Src != seen {
				t.Errorf("%s %v: %v as %v, recorded %v", name, client, out, p.Src, seen)
				continue
			}
			if kept := f.draws == 0; kept != (r.mayKeep && seen.Port() == sport) {
				t.Errorf("%s %v: %d draws for port %d", name, client, f.draws, seen.Port())
			}
			h.segment(c, true, packet.SYN|packet.ACK)
			h.segment(c, false, packet.ACK)
		}
		if h.tb.Len() != len(rec.Conntrack) {
			t.Errorf("%s: %d entries, recorded %d", name, h.tb.Len(), len(rec.Conntrack))
		}
		for _, line := range rec.Conntrack {
			want, err := Parse(name, line)
			if err != nil {
				t.Fatal(err)
			}
			c, _ := h.tb.Lookup(h.now, want[0].Original)
			if c == nil {
				t.Errorf("%s: no entry for %v", name, want[0].Original)
				continue
			}
			got := c.Entry(h.now)
			got.Timeout = want[0].Timeout // the recording was made seconds later
			equalEntry(t, name, line, got)
		}
	}
}

// An existing UDP entry keeps its backend while the rules change; a flow that began without a rule stays untranslated.
func TestRecordedStaleUDP(t *testing.T) {
	rec := load(t, "iptables-udp-stale.json")
	h := &host{t: t, tb: NewTable(DefaultConfig()), ch: zero{}}
	for i, raw := range rec.Events {
		var ev []any
		if err := json.Unmarshal(raw, &ev); err != nil {
			t.Fatal(err)
		}
		kind := ev[0].(string)
		udp := func(client string) netip.AddrPort {
			p, _, _ := h.send(first(packet.UDP, client, "10.9.9.1:53"), false)
			return p.Dst
		}
		switch kind {
		case "udp no rule, no rule needs conntrack":
			return // tracking off and on again is the node's affair
		case "udp":
			if i == 0 {
				h.dnat = to("10.2.0.1:5353")
			}
			if got := udp(netip.AddrPortFrom(netip.MustParseAddr("10.1.0.1"), uint16(ev[1].(float64))).String()); got != ap(ev[2].(string)) {
				t.Errorf("event %d: went to %v, recorded %v", i, got, ev[2])
			}
		case "rules":
			h.dnat = to("10.2.0.2:5353")
		case "conntrack -D":
			vip := netip.MustParseAddr(ev[1].(string))
			if n := h.tb.Delete(func(c *Conn) bool { return c.Original.Dst.Addr() == vip }, nil); n != 2 {
				t.Errorf("event %d: %d deleted", i, n)
			}
		case "udp no rule", "udp rule added":
			if kind == "udp no rule" {
				h.tb.Delete(nil, nil)
				h.dnat = Range{}
			} else {
				h.dnat = to("10.2.0.1:5353")
			}
			if got := udp("10.1.0.9:5009"); got != ap("10.9.9.1:53") {
				t.Errorf("event %d: went to %v, recorded untranslated", i, got)
			}
		case "conntrack":
			lines := ev[1].([]any)
			if h.tb.Len() != len(lines) {
				t.Errorf("event %d: %d entries, recorded %d", i, h.tb.Len(), len(lines))
			}
			k := 0
			for c := range h.tb.All() {
				equalEntry(t, kind, lines[k].(string), c.Entry(h.now))
				k++
			}
		}
	}
}

// A backend that connects to the address that maps to itself: the tuples without and with masquerade.
func TestRecordedHairpin(t *testing.T) {
	rec := load(t, "iptables-hairpin.json")
	for i, snat := range []Range{{}, {MinAddr: netip.MustParseAddr("10.0.2.1")}} {
		var ev []any
		if err := json.Unmarshal(rec.Events[i], &ev); err != nil {
			t.Fatal(err)
		}
		h := &host{t: t, tb: NewTable(DefaultConfig()), dnat: to("10.2.0.1:8080"), snat: snat, ch: zero{}}
		client := []string{"10.2.0.1:6000", "10.2.0.1:6001"}[i]
		p, c, _ := h.send(first(packet.TCP, client, "10.9.11.1:80"), false)
		if ev[2] != nil && p.Src != ap(ev[2].(string)) {
			t.Errorf("%v: backend sees %v, recorded %v", ev[0], p.Src, ev[2])
		}
		if ev[2] != nil {
			h.segment(c, true, packet.SYN|packet.ACK)
			h.segment(c, false, packet.ACK)
			h.segment(c, false, packet.FIN|packet.ACK)
			h.segment(c, true, packet.FIN|packet.ACK)
			h.segment(c, false, packet.ACK)
		}
		equalEntry(t, ev[0].(string), ev[3].([]any)[0].(string), c.Entry(h.now))
	}
}
