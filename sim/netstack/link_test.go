package netstack

import (
	"net/netip"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/replay"
)

// wire is two machines outside with a link each and no node between them.
func wire(t *testing.T, l Link, o Options) (f *Fabric, a, b *Host) {
	o.Link = l
	f = New(o)
	t.Cleanup(f.Close)
	a, b = f.AddHost(nil, nil, addr("192.0.2.1")), f.AddHost(nil, nil, addr("192.0.2.2"))
	return f, a, b
}

// TestDelay: a handshake takes one round trip of two links each way, an exchange another.
func TestDelay(t *testing.T) {
	f, a, b := wire(t, Link{Delay: 5 * ms}, Options{})
	to := netip.MustParseAddrPort("192.0.2.2:80")
	must2(t, b.Listen(packet.TCP, to, &Server{}))
	var opened, answered time.Duration
	must2(t, a.Open(Open{Proto: packet.TCP, Dst: to}, func(now time.Duration, _ replay.Result, c *Conn) {
		opened = now
		c.Exchange(16, 16, func(now time.Duration, _ string) { answered = now })
	}))
	f.Advance(time.Second)
	if opened != 20*ms || answered != 40*ms {
		t.Errorf("open at %s, answered at %s", opened, answered)
	}
}

// TestBandwidth: a datagram of 1,000 bytes of IP takes 8 ms on a wire of 1 Mbit/s, on the link of either end; ten follow one
// another, and what is more than the queue holds is dropped and counted.
func TestBandwidth(t *testing.T) {
	f, a, b := wire(t, Link{BitsPerSecond: 1_000_000, Delay: ms}, Options{})
	to := netip.MustParseAddrPort("192.0.2.2:80")
	var at []time.Duration
	must2(t, b.ListenMessages(packet.UDP, to, &MessageServer{Answer: func(packet.Protocol, []byte) []byte {
		at = append(at, f.Now())
		return nil
	}}))
	m, err := a.OpenMessages(1, packet.UDP, netip.MustParseAddrPort("192.0.2.1:1000"), to, func(time.Duration, []byte) {}, nil)
	must2(t, err)
	for range 10 {
		m.Send(1, make([]byte, 1000-28))
	}
	f.Advance(time.Second)
	if len(at) != 10 {
		t.Fatal(at)
	}
	for i, x := range at {
		if want := time.Duration(i+1)*8*ms + 8*ms + 2*ms; x != want {
			t.Errorf("datagram %d came at %s, want %s", i, x, want)
		}
	}
	for range 2000 { // 2 MB into a queue of 1 MiB
		m.Send(1, make([]byte, 1000-28))
	}
	f.Advance(time.Minute)
	if s := f.Stats(); len(at)-10 < 1048 || len(at)-10 > 1051 || s.LinkQueueFull != uint64(2010-len(at)) {
		t.Errorf("%d of 2,000 came, %d did not fit", len(at)-10, s.LinkQueueFull)
	}
}

// TestLoss: of 10,000 datagrams over two links that lose a tenth each, 8,100 come, give or take 4 standard deviations (157); the
// same seed loses the same, another seed others.
func TestLoss(t *testing.T) {
	run := func(o Options) (n int, first string) {
		f, a, b := wire(t, Link{Loss: 0.1, Delay: ms, Jitter: ms}, o)
		to := netip.MustParseAddrPort("192.0.2.2:80")
		var last time.Duration
		must2(t, b.ListenMessages(packet.UDP, to, &MessageServer{Answer: func(_ packet.Protocol, m []byte) []byte {
			if n++; n < 50 {
				first += string(m)
			}
			if f.Now() < last {
				t.Error("time goes back")
			}
			last = f.Now()
			return nil
		}}))
		m, err := a.OpenMessages(1, packet.UDP, netip.MustParseAddrPort("192.0.2.1:1000"), to, func(time.Duration, []byte) {}, nil)
		must2(t, err)
		for i := range 10_000 {
			m.Send(1, []byte{byte(i)})
			f.Advance(f.Now() + 10*time.Microsecond)
		}
		f.Advance(time.Minute)
		if s := f.Stats(); int(s.LostOnLink)+n != 10_000 {
			t.Errorf("%d came, %d were lost", n, s.LostOnLink)
		}
		return n, first
	}
	n, order := run(Options{Root: 1})
	if n < 8100-157 || n > 8100+157 {
		t.Errorf("%d came", n)
	}
	if again, same := run(Options{Root: 1}); again != n || same != order {
		t.Error("the same seed loses others")
	}
	if _, other := run(Options{Root: 2}); other == order {
		t.Error("another seed loses the same")
	}
	for i := 1; i < len(order); i++ {
		if d := order[i] - order[i-1]; d == 0 || d > 100 {
			t.Fatalf("datagrams overtake each other: %v", []byte(order))
		}
	}
}

// TestRetransmission cuts the power of a server for a while: TCP sends its SYN again after 1 s and 3 s (RFC 6298, 2.1 and 5.5), and
// a request that was lost arrives with a retransmission, which is due 200 ms after the request, 600 ms, and so on, or earlier by a
// tail loss probe (RFC 8985, section 7).
func TestRetransmission(t *testing.T) {
	f, a, b := wire(t, Link{Delay: ms}, Options{})
	to := netip.MustParseAddrPort("192.0.2.2:80")
	must2(t, b.Listen(packet.TCP, to, &Server{}))
	var opened, sent, answered time.Duration
	open := func(then func(c *Conn)) {
		must2(t, a.Open(Open{Proto: packet.TCP, Dst: to}, func(now time.Duration, _ replay.Result, c *Conn) {
			opened = now
			then(c)
		}))
	}
	b.Off()
	open(func(*Conn) {})
	f.Advance(2 * time.Second)
	b.On()
	f.Advance(10 * time.Second)
	if opened != 3*time.Second+4*ms {
		t.Errorf("opened at %s, want at the third SYN, 3.004s", opened)
	}
	open(func(c *Conn) {
		sent = f.Now()
		b.Off()
		f.clock.AfterFunc(300*ms, b.On)
		c.Exchange(16, 16, func(now time.Duration, why string) {
			if why != "" {
				t.Error(why)
			}
			answered = now
		})
	})
	f.Advance(20 * time.Second)
	if late := answered - sent; late < 300*ms || late > 2*time.Second {
		t.Errorf("answered %s after it was sent", late)
	}
}

// TestTimesOut: without an answer a TCP handshake ends when the client says, or when the stack gives up.
func TestTimesOut(t *testing.T) {
	f, a, _ := wire(t, Link{Delay: ms}, Options{})
	to := netip.MustParseAddrPort("192.0.2.9:80")
	got := map[time.Duration]replay.Result{}
	for _, d := range []time.Duration{0, 1500 * ms} {
		must2(t, a.Open(Open{Proto: packet.TCP, Dst: to, Timeout: d}, func(now time.Duration, r replay.Result, c *Conn) { got[now] = r }))
	}
	f.Advance(10 * time.Minute)
	if r, ok := got[1500*ms]; !ok || r != replay.TimedOut || len(got) != 2 {
		t.Errorf("%v", got)
	}
	for at := range got {
		if at != 1500*ms && (at < time.Minute || at > 3*time.Minute) { // 127 s: net.ipv4.tcp_syn_retries = 6
			t.Errorf("the stack gave up at %s", at)
		}
	}
}
