package netstack

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/replay"
)

// TestLargeDatagrams sends datagrams of 4,000 bytes through the Service: stacks cut them for 1,500, the node puts them together,
// walks one packet, and cuts again; so do the answers.
func TestLargeDatagrams(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, from := range []string{"pod", "outside"} {
			walks := 0
			o := Options{Checksums: true, After: func(_ *Node, _ string, was, _ *packet.Packet, _ *datapath.Disposition) {
				walks++
				if was.FragmentOffset != 0 || was.MoreFragments || was.LengthBytes < 4000 {
					t.Errorf("the node walks %+v", was)
				}
			}}
			u := build(t, shape{v6: v6, Options: o})
			h, to := u.pod, u.dns()
			if from == "outside" {
				h, to = u.outer, netip.AddrPortFrom(u.nodeIP(), 30053)
			}
			answered := 0
			must2(t, h.Open(Open{Proto: packet.UDP, Dst: to, Request: 4000, Reply: 4000}, func(_ time.Duration, r replay.Result, c *Conn) {
				if r == replay.Answered {
					answered++
				}
			}))
			u.f.Advance(time.Second)
			s := u.f.Stats()
			if answered != 1 || walks != 2 || s.Fragments != 6 || s.Reassembled != 2 || s.Fragmented != 2 || s.BadChecksum != 0 {
				t.Errorf("v6 %v from %s: answered %d, %d walks, %+v", v6, from, answered, walks, s)
			}
		}
	}
}

// fragmentsOf cuts a UDP datagram of a size from a to b.
func fragmentsOf(v6 bool, a, b netip.AddrPort, size, mtu int) [][]byte {
	r := rand.New(rand.NewPCG(1, 1))
	whole := craft(r, v6, packet.UDP, a, b, make([]byte, size))
	if v6 {
		return cutV6(whole, 40, 17, mtu, 77)
	}
	binary.BigEndian.PutUint16(whole[4:], 77)
	return cutV4(whole, 20, mtu)
}

// TestFragments gives a node fragments from a raw port, whole, twice, out of order, overlapping, and not all.
func TestFragments(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		u := build(t, shape{v6: v6, Options: Options{Checksums: true}})
		raw := u.pick("10.244.0.200", "fd00:244::200")
		p := u.f.AddPort(u.node, raw)
		src := netip.AddrPortFrom(raw, 4000)
		send := func(list ...[]byte) Stats {
			for _, b := range list {
				if _, err := p.Write(b); err != nil {
					t.Fatal(err)
				}
			}
			u.f.Advance(u.f.Now() + time.Second)
			return u.f.Stats()
		}
		answers := func() (n int) {
			for {
				b, ok := p.Poll()
				if !ok {
					return n
				}
				if more := v6 && b[43]&1 != 0 || !v6 && b[6]&0x20 != 0; !more {
					n++
				}
			}
		}
		f := fragmentsOf(v6, src, u.dns(), 3000, 1280)
		if len(f) != 3 {
			t.Fatalf("%d fragments", len(f))
		}
		if s := send(f[2], f[0], f[0], f[1]); s.Reassembled != 2 || // the answer comes in fragments too
			answers() == 0 {
			t.Errorf("out of order and twice: %+v", s)
		}
		if s := send(f[0], f[1]); s.Reassembled != 2 || answers() != 0 {
			t.Errorf("two of three: %+v", s)
		}
		u.f.Advance(u.f.Now() + 2*time.Minute)
		if s := u.f.Stats(); s.FragmentsExpired != 1 || len(u.node.frags.open) != 0 || u.node.frags.memory != 0 {
			t.Errorf("not given up: %+v", s)
		}
		// An overlap: a fragment at 8 bytes before where the first one ends (RFC 5722, section 4: the whole datagram goes).
		g := fragmentsOf(v6, src, u.dns(), 3000, 1280-8)
		if s := send(f[0], g[1], f[1], f[2]); s.FragmentsOverlap != 1 || s.Reassembled != 2 || answers() != 0 {
			t.Errorf("overlap: %+v", s)
		}
		u.f.Advance(u.f.Now() + 2*time.Minute)
		// More first fragments than the memory for them holds: bounded, and later ones are complete again once those expired.
		for i := range 10_000 {
			b := append([]byte(nil), f[0]...)
			if v6 {
				binary.BigEndian.PutUint32(b[44:], uint32(i)+1000)
			} else {
				binary.BigEndian.PutUint16(b[4:], uint16(i)+1000)
				b[10], b[11] = 0, 0
				binary.BigEndian.PutUint16(b[10:], ^uint16(checksum(b[:20], 0)))
			}
			if _, err := p.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		u.f.Advance(u.f.Now() + time.Second)
		if s := u.f.Stats(); s.FragmentsNoMemory == 0 || u.node.frags.memory > fragMemory+2000 {
			t.Errorf("%d bytes of fragments, %+v", u.node.frags.memory, s)
		}
		u.f.Advance(u.f.Now() + 2*time.Minute)
		if s := send(f...); s.Reassembled != 4 || answers() == 0 {
			t.Errorf("after the flood: %+v", s)
		}
	}
}

// TestPathMTU: a Pod sends much to a Service whose backend is behind another node, and the way between the nodes is narrower
// than both ends know. The node tells the Pod about the packet as the Pod sent it, and TCP goes on in smaller segments
// (RFC 1191, RFC 8201).
func TestPathMTU(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		var errors []packet.Packet
		u := build(t, shape{v6: v6, Options: Options{Checksums: true}})
		u.node.SetLink(Link{MTU: 1300})
		// The backends move to another node, with a model of its own and no rules.
		far := replay.Host{Name: "node-b", NodeIPs: []netip.Addr{u.pick("192.168.1.2", "fd00:1::2")}, PodInterface: "pod0"}
		for _, h := range u.backends {
			h.Remove()
			far.PodCIDRs = append(far.PodCIDRs, netip.PrefixFrom(h.Addresses()[0], h.Addresses()[0].BitLen()))
		}
		dp := datapath.NewNode(datapath.DefaultProfile(), far.Routes())
		dp.SetSource(u.f.o.Root.Stream("b"))
		b := u.f.AddNode(far, dp)
		for i := range u.backends {
			h := u.f.AddHost(b, nil, u.back(i))
			must2(t, h.Listen(packet.TCP, netip.AddrPortFrom(u.back(i), 8080), u.server))
			must2(t, h.Listen(packet.UDP, netip.AddrPortFrom(u.back(i), 5353), u.server))
		}
		seen := func(it *item) bool {
			var p packet.Packet
			var l layout
			b := bytesOf(nil, it.pkt)
			if read(flat(b), len(b), &p, &l) == sound && p.IsICMPError() {
				if err := soundSums(b); err != nil {
					t.Error(err)
				}
				errors = append(errors, p)
			}
			return true
		}
		u.pod.tap = seen
		var why string
		var at time.Duration
		must2(t, u.pod.Open(Open{Proto: packet.TCP, Dst: u.web()}, func(_ time.Duration, r replay.Result, c *Conn) {
			if r != replay.Answered {
				t.Fatal(r)
			}
			c.Exchange(100_000, 100_000, func(now time.Duration, w string) { why, at = "done"+w, now })
		}))
		u.f.Advance(time.Minute)
		s := u.f.Stats()
		if why != "done" || at > 10*time.Second || s.PacketTooBig == 0 || len(errors) == 0 {
			t.Fatalf("v6 %v: %q at %s, %d errors reached the Pod, %+v", v6, why, at, len(errors), s)
		}
		// A datagram of 1,400 bytes does not pass either; the sender learns, and cuts the next.
		ask := func(within time.Duration) (r replay.Result) {
			must2(t, u.pod.Open(Open{Proto: packet.UDP, Dst: u.dns(), Request: 1400, Timeout: within}, func(_ time.Duration, got replay.Result, _ *Conn) { r = got }))
			u.f.Advance(u.f.Now() + 2*within)
			return r
		}
		if first, second := ask(time.Second), ask(time.Second); first != replay.TimedOut || second != replay.Answered {
			t.Errorf("v6 %v: datagrams are %v, %v", v6, first, second)
		}
		e := errors[0]
		if e.Quoted.Dst != u.web() || e.Quoted.Src.Addr() != u.podIP() {
			t.Errorf("the Pod is told about %s, not about what it sent to %s", e.Quoted, u.web())
		}
	}
}
