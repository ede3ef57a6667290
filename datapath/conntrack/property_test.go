package conntrack

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/svclab/svclab/datapath/journal"
	"github.com/svclab/svclab/datapath/packet"
)

// snapshot copies all of a table's memory.
func snapshot(t *Table) *Table {
	s := *t
	s.tuples.slots = slices.Clone(t.tuples.slots)
	s.sources.slots = slices.Clone(t.sources.slots)
	s.slabs = nil
	for _, sl := range t.slabs {
		cp := *sl
		s.slabs = append(s.slabs, &cp)
	}
	return &s
}

// diff says where two snapshots differ, "" if nowhere. Slabs that only one of them has must be unused.
func diff(a, b *Table) string {
	if n := (a.used + slabLen - 1) / slabLen; n <= len(a.slabs) && n <= len(b.slabs) {
		a.slabs, b.slabs = a.slabs[:n], b.slabs[:n]
	}
	va, vb := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for i := range va.NumField() {
		name := va.Type().Field(i).Name
		if name == "slabs" {
			for k := range a.slabs {
				for c := range slabLen {
					if a.slabs[k].conns[c] != b.slabs[k].conns[c] || a.slabs[k].timers[c] != b.slabs[k].timers[c] {
						return fmt.Sprintf("slot %d:\n%+v %+v\n%+v %+v", c, a.slabs[k].conns[c], a.slabs[k].timers[c], b.slabs[k].conns[c], b.slabs[k].timers[c])
					}
				}
			}
			continue
		}
		if x, y := fmt.Sprint(va.Field(i)), fmt.Sprint(vb.Field(i)); x != y {
			return fmt.Sprintf("%s:\n%s\n%s", name, x, y)
		}
	}
	return ""
}

// check verifies what must hold of a table at any time.
func check(t *Table) error {
	refs := 0
	for slot := range t.used {
		c := t.conn(int32(slot))
		if !c.live || !c.Status.Has(Confirmed) {
			continue
		}
		refs++
		if t.tuples.at(c.hash[1], uint32(slot)<<1|1) < 0 || hashTuple(t.cfg.Seed, &c.Reply) != c.hash[1] {
			return fmt.Errorf("%v is not found by its reply", c.Entry(0))
		}
		if !c.Status.Has(Clash) {
			refs++
			if t.tuples.at(c.hash[0], uint32(slot)<<1) < 0 {
				return fmt.Errorf("%v is not found by its original", c.Entry(0))
			}
		}
		if t.timer(int32(slot)).list == noSlot || c.filed > c.Expires {
			return fmt.Errorf("%v has no timer", c.Entry(0))
		}
	}
	if refs != t.tuples.n {
		return fmt.Errorf("index holds %d references, entries have %d", t.tuples.n, refs)
	}
	seen := map[packet.Tuple]bool{}
	for _, c := range t.sorted() {
		if seen[c.Reply] {
			return fmt.Errorf("two entries wait for %v", c.Reply)
		}
		seen[c.Reply] = true
	}
	return nil
}

// world draws random operations on a table from a small pool of addresses, so that they collide.
type world struct {
	t   *rapid.T
	tb  *Table
	now time.Duration
	j   *journal.Journal
}

func (w *world) pick(label string, n int) int { return rapid.IntRange(0, n-1).Draw(w.t, label) }

func (w *world) Intn(n int) int { return w.pick("chance", 8) % n }

func (w *world) packet() *packet.Packet {
	proto := []packet.Protocol{packet.TCP, packet.UDP, packet.SCTP, packet.ICMP}[w.pick("proto", 4)]
	client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 0, byte(w.pick("client", 3))}), uint16(5000+w.pick("port", 4)))
	vip := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, 0, byte(w.pick("vip", 2))}), 80)
	p := &packet.Packet{Src: client, Dst: vip, Proto: proto}
	if w.pick("reply", 3) == 0 {
		for _, c := range w.tb.sorted() {
			if w.pick("which", 3) == 0 {
				p.Src, p.Dst, p.Proto = c.Reply.Src, c.Reply.Dst, c.Reply.Proto
				break
			}
		}
	}
	switch p.Proto {
	case packet.TCP:
		p.TCPFlags = []packet.TCPFlags{packet.SYN, packet.SYN | packet.ACK, packet.ACK, packet.ACK | packet.PSH, packet.FIN | packet.ACK, packet.RST}[w.pick("flags", 6)]
	case packet.SCTP:
		p.SCTPChunk = []packet.SCTPChunk{packet.SCTPInit, packet.SCTPInitAck, packet.SCTPCookieEcho, packet.SCTPCookieAck, packet.SCTPAbort}[w.pick("chunk", 5)]
	case packet.ICMP:
		p.ICMPType = []uint8{8, 0, 3}[w.pick("type", 3)]
		if all := w.tb.sorted(); p.ICMPType == 3 && len(all) > 0 {
			c := all[w.pick("quoted", len(all))]
			p.Quoted, p.Dst = c.Original, c.Reply.Dst
		}
	}
	return p
}

func (w *world) walk() {
	p := w.packet()
	c, info, ok := w.tb.In(w.now, p, w.j)
	if !ok || c == nil {
		return
	}
	if c.NeedsNAT(ManipDestination, info) {
		r := Range{}
		if w.pick("dnat", 4) > 0 {
			r = Range{MinAddr: netip.AddrFrom4([4]byte{10, 2, 0, byte(w.pick("backend", 2))}), MinPort: 8080, HasPorts: true}
		}
		c.SetupNAT(w.now, ManipDestination, r, w, w.j)
	}
	c.Translate(ManipDestination, info, p)
	if w.pick("drop", 8) == 0 {
		w.tb.Release(c, w.j)
		return
	}
	if c.NeedsNAT(ManipSource, info) {
		r := Range{}
		if w.pick("snat", 2) == 0 {
			r = Range{MinAddr: netip.MustParseAddr("10.0.0.1"), RandomFully: w.pick("random", 2) == 0}
		}
		c.SetupNAT(w.now, ManipSource, r, w, w.j)
		if r.MinAddr.IsValid() {
			c.SetMasquerade("eth0", w.j)
		}
	}
	c.Translate(ManipSource, info, p)
	if r := w.tb.Confirm(w.now, c, info, p, w.j); r.Conn != nil && r.Conn.live && w.pick("mark", 4) == 0 {
		r.Conn.SetMark(uint32(w.pick("value", 4)), w.j)
	}
}

func (w *world) step() {
	w.now += []time.Duration{0, time.Millisecond, time.Second, 31 * time.Second, 500 * time.Second}[w.pick("wait", 5)]
	w.tb.Advance(w.now, w.j)
	switch w.pick("operation", 12) {
	case 0:
		n := w.pick("every", 3) + 1
		i := 0
		w.tb.Delete(func(*Conn) bool { i++; return i%n == 0 }, w.j)
	case 1:
		w.tb.KillInterface("eth0", w.j)
	case 2:
		tp := w.packet().Tuple()
		w.tb.Insert(w.now, Entry{Original: tp, Reply: tp.Reverse(), Timeout: 20 * time.Second}, w.j)
	default:
		w.walk()
	}
}

// Whatever is done under a journal, Rollback brings the table back exactly: entries, indexes, timers, counters. And the
// table stays consistent, never larger than its limit.
func TestRollbackRestoresEverything(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{t: rt, tb: NewTable(Config{Max: 10, Buckets: 4, TCPLoose: true, TimeWaitReuse: rapid.Bool().Draw(rt, "reuse")})}
		verify := func() {
			if err := check(w.tb); err != nil {
				rt.Fatal(err)
			}
			if w.tb.Len() > 10 {
				rt.Fatalf("%d entries in a table of 10", w.tb.Len())
			}
		}
		for range rapid.IntRange(0, 30).Draw(rt, "before") {
			w.step()
		}
		verify()
		before, now := snapshot(w.tb), w.now
		w.j = new(journal.Journal)
		for range rapid.IntRange(1, 30).Draw(rt, "journaled") {
			w.step()
		}
		verify()
		w.j.Rollback()
		if d := diff(before, snapshot(w.tb)); d != "" {
			rt.Fatal(d)
		}
		w.j, w.now = nil, now
		w.step()
		verify()
	})
}

// A journal brings back a table that grew its indexes and slabs meanwhile.
func TestRollbackAcrossGrowth(t *testing.T) {
	tb := NewTable(Config{})
	h := &host{t: t, tb: tb, dnat: to("10.2.0.1:8080"), snat: Range{MinAddr: netip.MustParseAddr("10.0.2.1")}, ch: zero{}}
	for i := range 20 {
		h.send(first(packet.UDP, at("10.1.0.1", uint16(2000+i)).String(), "10.9.10.1:80"), false)
	}
	before := snapshot(tb)
	j := new(journal.Journal)
	for i := range 2000 {
		p := first(packet.UDP, at("10.1.0.2", uint16(2000+i)).String(), "10.9.10.1:80")
		c, info, _ := tb.In(0, p, j)
		c.SetupNAT(0, ManipDestination, h.dnat, zero{}, j)
		c.SetupNAT(0, ManipSource, h.snat, zero{}, j)
		tb.Confirm(0, c, info, p, j)
	}
	if tb.Len() < 2000 {
		t.Fatalf("%d entries", tb.Len())
	}
	j.Rollback()
	if d := diff(before, snapshot(tb)); d != "" {
		t.Fatal(d)
	}
}

// Entries go exactly when their time comes: a plain list of deadlines is the oracle of the wheel.
func TestExpiryAgainstPlainList(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tb := NewTable(Config{})
		var now time.Duration
		plain := map[uint16]time.Duration{}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			if at, ok := tb.NextExpiry(); ok && rapid.Bool().Draw(rt, "to the next") {
				now = max(now, at)
			} else {
				now += time.Duration(rapid.Int64Range(0, 1<<uint(rapid.IntRange(0, 48).Draw(rt, "bits"))).Draw(rt, "wait"))
			}
			tb.Advance(now, nil)
			earliest := forever
			for port, end := range plain {
				if end <= now {
					delete(plain, port)
				} else {
					earliest = min(earliest, end)
				}
			}
			if tb.Len() != len(plain) {
				rt.Fatalf("at %v: %d entries, the list has %d", now, tb.Len(), len(plain))
			}
			if at, ok := tb.NextExpiry(); len(plain) > 0 && (!ok || at > earliest || at <= now) {
				rt.Fatalf("at %v: next expiry %v, the list says %v", now, at, earliest)
			}
			port := uint16(rapid.IntRange(1, 8).Draw(rt, "port"))
			end := time.Duration(rapid.Int64Range(1, 1<<uint(rapid.IntRange(1, 50).Draw(rt, "bits"))).Draw(rt, "life"))
			tp := packet.Tuple{Src: at("10.0.0.1", port), Dst: ap("10.0.0.2:80"), Proto: packet.UDP}
			if c, _ := tb.Lookup(now, tp); c != nil {
				tb.refresh(now, c, end, nil)
			} else if _, err := tb.Insert(now, Entry{Original: tp, Reply: tp.Reverse(), Timeout: end}, nil); err != nil {
				rt.Fatal(err)
			}
			plain[port] = now + end
		}
	})
}
