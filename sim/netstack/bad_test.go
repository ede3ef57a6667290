package netstack

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/replay"
	"github.com/svclab/svclab/sim/vtime"
)

// works opens a connection and makes an exchange, which must succeed within some time.
func (u *universe) works(t *testing.T, within time.Duration) {
	t.Helper()
	ok := false
	must2(t, u.outer.Open(Open{Flow: 1 << 40, Proto: packet.TCP, Dst: netip.AddrPortFrom(u.nodeIP(), 30080), Timeout: within}, func(_ time.Duration, r replay.Result, c *Conn) {
		if r != replay.Answered {
			t.Errorf("a connection beside it: %s", r)
			return
		}
		c.Exchange(16, 16, func(_ time.Duration, why string) {
			ok = why == ""
			c.Close()
		})
	}))
	u.f.Advance(u.f.Now() + within)
	if !ok {
		t.Errorf("an exchange beside it does not end in %s", within)
	}
}

// heap is the memory in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestHalfOpen sends 10,000 SYNs whose sender never goes on. Listeners keep as many half-open connections as their backlog says,
// answer the others by SYN cookies, and still take connections; when the handshakes have expired the memory is free again.
func TestHalfOpen(t *testing.T) {
	u := build(t, shape{backends: 1, server: &Server{Backlog: 1000}})
	raw := addr("10.244.0.200")
	p := u.f.AddPort(u.node, raw)
	r := rand.New(rand.NewPCG(1, 2))
	before := heap()
	answers := 0
	for i := range 10_000 {
		b := craft(r, false, packet.TCP, netip.AddrPortFrom(raw, uint16(1024+i)), u.web(), nil)
		if _, err := p.Write(b); err != nil {
			t.Fatal(err)
		}
		u.f.Advance(u.f.Now() + 10*time.Microsecond)
		for _, ok := p.Poll(); ok; _, ok = p.Poll() {
			answers++
		}
	}
	if s := u.f.Stats().Stacks; s.SYNCookies < 8000 {
		t.Errorf("%d SYN cookies", s.SYNCookies)
	}
	if answers < 10_000 {
		t.Errorf("%d SYNs were answered", answers)
	}
	during := heap()
	u.works(t, time.Second)
	u.f.Advance(u.f.Now() + 5*time.Minute)
	after := heap()
	t.Logf("heap before %d KiB, during %d KiB, after %d KiB", before>>10, during>>10, after>>10)
	if grown := during - before; grown > 1000*30_000 {
		t.Errorf("10,000 half-open connections hold %d bytes", grown)
	}
	if kept := after - before; kept > 6<<20 {
		t.Errorf("%d bytes are kept", kept)
	}
	if n := u.dp.Conns.Len(); n > 100 {
		t.Errorf("%d connections are still tracked", n)
	}
}

// TestStopsReading: a client asks for 100 MB and reads nothing. The server holds no more than its send buffer, others are served.
func TestStopsReading(t *testing.T) {
	u := build(t, shape{backends: 1, server: &Server{Request: 16, Reply: 100 << 20}})
	before := heap()
	var wq waiter.Queue
	ep, err := u.pod.stack.NewEndpoint(tcp.ProtocolNumber, networkOf(u.podIP()), &wq)
	if err != nil {
		t.Fatal(err)
	}
	_ = ep.Connect(toFull(u.web()))
	u.f.Advance(time.Second)
	if _, err := ep.Write(bytes.NewReader(make([]byte, 16)), tcpip.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	u.f.Advance(10 * time.Minute)
	if grown := heap() - before; grown > 16<<20 {
		t.Errorf("%d bytes wait for a reader", grown)
	}
	u.works(t, time.Second)
	ep.Close()
}

// TestBackendDies: one of two backends loses its power. Its connections end with their patience, new ones that are sent there time
// out, the others go on; when it comes back, so do its answers.
func TestBackendDies(t *testing.T) {
	u := build(t, shape{backends: 2, Options: Options{Link: Link{Delay: ms}}})
	var alive, dead, timeouts int
	for i := range 40 {
		u.f.At(vtime.Key{At: time.Duration(i) * ms, Flow: int64(i)}, func() {
			must2(t, u.pod.Open(Open{Flow: int64(i), Proto: packet.TCP, Dst: u.web(), Timeout: time.Second, Patience: time.Second}, func(_ time.Duration, r replay.Result, c *Conn) {
				if r == replay.TimedOut {
					timeouts++
				}
				if c == nil {
					return
				}
				u.f.At(vtime.Key{At: 100 * ms, Flow: int64(i)}, func() {
					c.Exchange(16, 16, func(_ time.Duration, why string) {
						at, _ := c.Endpoint()
						switch {
						case why == "" && at.Addr() == u.back(1):
							alive++
						case why != "" && at.Addr() == u.back(0):
							dead++
						default:
							t.Errorf("%s: %q", at, why)
						}
						c.Close()
					})
				})
			}))
		})
	}
	u.f.At(vtime.Key{At: 20 * ms, Flow: -1}, u.backends[0].Off)
	u.f.Advance(10 * time.Second)
	if alive == 0 || dead == 0 || timeouts == 0 || alive+dead+timeouts != 40 {
		t.Errorf("%d go on, %d are given up, %d are not opened", alive, dead, timeouts)
	}
	u.backends[0].On()
	for range 10 {
		u.works(t, time.Second)
	}
	if s := u.f.Stats(); s.PowerOff == 0 {
		t.Errorf("%+v", s)
	}
}

// TestSpoiled writes packets with something wrong to a port: each is counted by its fault, none is answered, the rest goes on.
func TestSpoiled(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, proto := range []packet.Protocol{packet.TCP, packet.UDP} {
			u := build(t, shape{v6: v6})
			raw := u.pick("10.244.0.200", "fd00:244::200")
			p := u.f.AddPort(u.node, raw)
			r := rand.New(rand.NewPCG(1, 2))
			to := map[packet.Protocol]netip.AddrPort{packet.TCP: u.web(), packet.UDP: u.dns()}[proto]
			good := craft(r, v6, proto, netip.AddrPortFrom(raw, 999), to, []byte("0123456789abcdef"))
			sent := 0
			for cut := range good {
				if _, err := p.Write(good[:cut]); err != nil {
					t.Fatal(err)
				}
				sent++
			}
			u.f.Advance(time.Second)
			s := u.f.Stats()
			if s.Truncated+s.BadHeader != uint64(sent) || s.Walked != 0 {
				t.Errorf("v6 %v %s: %d cut off, %+v", v6, proto, sent, s)
			}
			// One bit wrong: in the payload, the ports, the checksum itself.
			l4 := map[bool]int{false: 20, true: 40}[v6]
			for _, at := range []int{len(good) - 1, l4, l4 + 3, l4 + map[packet.Protocol]int{packet.TCP: 17, packet.UDP: 7}[proto]} {
				b := bytes.Clone(good)
				b[at] ^= 4
				_, _ = p.Write(b)
			}
			if !v6 {
				b := bytes.Clone(good)
				b[8]-- // TTL: the header's own checksum
				_, _ = p.Write(b)
			}
			u.f.Advance(2 * time.Second)
			if s := u.f.Stats(); s.BadChecksum != map[bool]uint64{false: 5, true: 4}[v6] || s.Walked != 0 {
				t.Errorf("v6 %v %s: %+v", v6, proto, s)
			}
			for _, junk := range [][]byte{{}, {0x50}, bytes.Repeat([]byte{0xff}, 100), append([]byte{0x41}, make([]byte, 40)...)} {
				_, _ = p.Write(junk)
			}
			u.f.Advance(3 * time.Second)
			if _, answered := p.Poll(); answered {
				t.Error("a spoiled packet was answered")
			}
			_, _ = p.Write(good)
			u.f.Advance(4 * time.Second)
			b, answered := p.Poll()
			if !answered {
				t.Fatal("the good one was not answered")
			}
			if err := soundSums(b); err != nil {
				t.Error(err)
			}
			u.works(t, time.Second)
		}
	}
}

// TestSpoiledOnTheWay flips a bit in every tenth packet that reaches a backend: its stack drops them by their checksums, and TCP
// delivers everything all the same.
func TestSpoiledOnTheWay(t *testing.T) {
	u := build(t, shape{backends: 1, Options: Options{Checksums: true, Link: Link{Delay: ms}}})
	n := 0
	u.backends[0].tap = func(it *item) bool {
		if n++; n%10 == 0 {
			b := bytesOf(nil, it.pkt)
			b[len(b)-1] ^= 1
			it.pkt.DecRef()
			it.pkt = packetOf(b)
		}
		return true
	}
	done := 0
	for i := range 20 {
		must2(t, u.pod.Open(Open{Flow: int64(i), Proto: packet.TCP, Dst: u.web()}, func(_ time.Duration, r replay.Result, c *Conn) {
			if r != replay.Answered {
				t.Fatal(r)
			}
			c.Exchange(20_000, 100, func(_ time.Duration, why string) {
				if why == "" {
					done++
				}
				c.Close()
			})
		}))
	}
	u.f.Advance(time.Minute)
	if s := u.f.Stats().Stacks; done != 20 || s.ChecksumErrors == 0 || s.Retransmits == 0 {
		t.Errorf("%d of 20 done, %+v", done, s)
	}
}

// TestResets: a RST in the middle of an exchange is told to both ends and forgotten.
func TestResets(t *testing.T) {
	u := build(t, shape{backends: 1, server: &Server{Service: Service{Mean: time.Second}}, Options: Options{Link: Link{Delay: ms}}})
	var why string
	var at time.Duration
	must2(t, u.pod.Open(Open{Proto: packet.TCP, Dst: u.web()}, func(_ time.Duration, r replay.Result, c *Conn) {
		c.Exchange(16, 16, func(now time.Duration, w string) { why, at = w, now })
	}))
	u.f.At(vtime.Key{At: 500 * ms}, u.server.ResetAll)
	u.f.Advance(2 * time.Second)
	if why != "connection reset by peer" || at != 502*ms {
		t.Errorf("%q at %s", why, at)
	}
	u.works(t, 2*time.Second)
}

// TestTimeWait: a client's port rests for Options.TimeWait after it closed, then it can be used again for the same server.
func TestTimeWait(t *testing.T) {
	u := build(t, shape{backends: 1, Options: Options{TimeWait: 10 * time.Second}})
	src := netip.AddrPortFrom(u.podIP(), 4321)
	open := func() (r replay.Result, err error) {
		r = 99
		err = u.pod.Open(Open{Proto: packet.TCP, Src: src, Dst: u.web()}, func(_ time.Duration, got replay.Result, c *Conn) {
			if r = got; c != nil {
				c.Exchange(16, 16, func(time.Duration, string) { c.Close() })
			}
		})
		u.f.Advance(u.f.Now() + time.Second)
		return r, err
	}
	if r, err := open(); err != nil || r != replay.Answered {
		t.Fatal(r, err)
	}
	if _, err := open(); err == nil {
		t.Error("a port in TIME_WAIT was used again")
	}
	u.f.Advance(u.f.Now() + 12*time.Second)
	if r, err := open(); err != nil || r != replay.Answered {
		t.Error(r, err)
	}
}

// TestUnreachable gives a Pod ICMP errors of other kinds than "port unreachable" about what it sent.
func TestUnreachable(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, proto := range []packet.Protocol{packet.TCP, packet.UDP} {
			u := build(t, shape{v6: v6})
			far := netip.AddrPortFrom(u.pick("10.244.0.250", "fd00:244::250"), 80)
			p := u.f.AddPort(u.node, far.Addr())
			got := replay.Result(99)
			must2(t, u.pod.Open(Open{Proto: proto, Dst: far, Timeout: 10 * time.Second}, func(_ time.Duration, r replay.Result, _ *Conn) { got = r }))
			u.f.Advance(time.Second)
			b, ok := p.Poll()
			if !ok {
				t.Fatal("nothing came")
			}
			h := []byte{3, 10, 0, 0, 0, 0, 0, 0} // host administratively prohibited
			icmp := packet.ICMP
			if v6 {
				h, icmp = []byte{1, 1, 0, 0, 0, 0, 0, 0}, packet.ICMPv6
			}
			_, _ = p.Write(carry(v6, icmp, far.Addr(), u.podIP(), append(h, b...)))
			u.f.Advance(2 * time.Second)
			if got != replay.Unreachable {
				t.Errorf("v6 %v %s: %v", v6, proto, got)
			}
		}
	}
}

// TestOddHosts: hosts with no, invalid, repeated or taken addresses are hosts all the same.
func TestOddHosts(t *testing.T) {
	u := build(t, shape{})
	a := addr("10.244.0.77")
	u.f.AddHost(u.node, nil)
	u.f.AddHost(u.node, nil, netip.Addr{}, a, a, addr("::ffff:10.244.0.78"))
	h := u.f.AddHost(nil, nil, a)
	if u.f.HostOf(a) != h {
		t.Error("an address does not move to the newest host")
	}
	for _, o := range []Open{
		{Proto: packet.TCP},
		{Proto: packet.TCP, Dst: netip.AddrPortFrom(u.vip(), 0)},
		{Proto: packet.TCP, Dst: netip.MustParseAddrPort("[fd00::1]:80")},
		{Proto: packet.TCP, Dst: u.web(), Src: netip.MustParseAddrPort("10.9.9.9:1")},
		{Proto: packet.TCP, Dst: netip.MustParseAddrPort("224.0.0.1:80")},
		{Proto: packet.UDP, Dst: netip.MustParseAddrPort("255.255.255.255:80")},
		{Proto: 99, Dst: u.web()},
	} {
		if err := h.Open(o, func(_ time.Duration, r replay.Result, _ *Conn) {
			if r == replay.Answered {
				t.Errorf("%+v: %v", o, r)
			}
		}); err != nil {
			t.Log(err)
		}
	}
	u.f.Advance(time.Minute)
	u.works(t, time.Second)
	h.Remove()
	h.Remove()
	u.works(t, time.Second)
}

// TestComeAndGo adds Pods with a connection each and removes them again: their memory is free, their counters stay.
func TestComeAndGo(t *testing.T) {
	u := build(t, shape{})
	round := func(n int) {
		for i := range n {
			a := netip.AddrFrom4([4]byte{10, 244, 1, byte(i)})
			h := u.f.AddHost(u.node, nil, a)
			must2(t, h.Listen(packet.TCP, netip.AddrPortFrom(a, 80), u.server))
			if r := u.try(t, u.pod, Open{Proto: packet.TCP, Dst: netip.AddrPortFrom(a, 80)}); r.result != replay.Answered {
				t.Fatal(r)
			}
			if r := u.try(t, u.pod, Open{Proto: packet.TCP, Dst: netip.AddrPortFrom(a, 81)}); r.result != replay.Refused {
				t.Fatal(r)
			}
			h.Remove()
		}
	}
	round(20)
	before, hosts := heap(), len(u.f.hosts)
	round(100)
	if grown := heap() - before; grown > 2<<20 || len(u.f.hosts) != hosts {
		t.Errorf("100 Pods that came and went hold %d bytes; %d hosts, then %d", grown, hosts, len(u.f.hosts))
	}
	if s := u.f.Stats().Stacks; s.ResetsSent != 120 {
		t.Errorf("%d of 120 resets are counted", s.ResetsSent)
	}
}
