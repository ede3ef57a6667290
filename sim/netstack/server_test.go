package netstack

import (
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/replay"
	"github.com/svclab/svclab/sim/seed"
	"github.com/svclab/svclab/sim/vtime"
)

// ask sends n requests to a server over connections of their own, at the given times, and returns how long each took from when it
// was meant to be sent.
func ask(t *testing.T, s *Server, root seed.Root, times []time.Duration) (took []time.Duration, failed int) {
	t.Helper()
	f, a, b := wire(t, Link{}, Options{Root: root, TimeWait: ms})
	to := netip.MustParseAddrPort("192.0.2.2:80")
	must2(t, b.Listen(packet.TCP, to, s))
	for i, at := range times {
		f.At(vtime.Key{At: at, Flow: int64(i)}, func() {
			must2(t, a.Open(Open{Flow: int64(i), Proto: packet.TCP, Dst: to}, func(_ time.Duration, r replay.Result, c *Conn) {
				if r != replay.Answered {
					t.Fatal(r)
				}
				c.Exchange(16, 16, func(now time.Duration, why string) {
					if why != "" {
						failed++
					} else {
						took = append(took, now-at)
					}
					c.Close()
				})
			}))
		})
	}
	f.Advance(times[len(times)-1] + time.Hour)
	return took, failed
}

// TestQueue: one worker of 10 ms and 5 requests at once are answered after 10, 20, 30, 40 and 50 ms; two workers take pairs.
func TestQueue(t *testing.T) {
	at := make([]time.Duration, 5)
	for workers, want := range map[int][]time.Duration{
		0: {10 * ms, 10 * ms, 10 * ms, 10 * ms, 10 * ms},
		1: {10 * ms, 20 * ms, 30 * ms, 40 * ms, 50 * ms},
		2: {10 * ms, 10 * ms, 20 * ms, 20 * ms, 30 * ms},
	} {
		got, failed := ask(t, &Server{Workers: workers, Service: Service{Mean: 10 * ms}}, 1, at)
		if !slices.Equal(got, want) || failed != 0 {
			t.Errorf("%d workers: %v, %d failed, want %v", workers, got, failed, want)
		}
	}
}

// TestFull: with room for two in the queue of one worker, two of five requests are turned away.
func TestFull(t *testing.T) {
	at := make([]time.Duration, 5)
	got, failed := ask(t, &Server{Workers: 1, Queue: 2, Full: ResetRequest, Service: Service{Mean: 10 * ms}}, 1, at)
	if !slices.Equal(got, []time.Duration{10 * ms, 20 * ms, 30 * ms}) || failed != 2 {
		t.Errorf("%v, %d failed", got, failed)
	}
	got, failed = ask(t, &Server{Workers: 1, Queue: 2, Service: Service{Mean: 10 * ms}}, 1, at)
	if len(got) != 3 || failed != 0 {
		t.Errorf("%v, %d failed; dropped requests wait for ever", got, failed)
	}
	got, failed = ask(t, &Server{Connections: 3, Service: Service{Mean: 10 * ms}}, 1, at)
	if len(got) != 3 || failed != 2 {
		t.Errorf("%v, %d failed; three connections are taken", got, failed)
	}
}

// TestServiceTimes: sample means, and the share above twice the mean, against their distributions: exp(-2) for the exponential, none
// for the uniform, and for the log-normal of sigma 1 the normal tail above log 2 + 1/2.
func TestServiceTimes(t *testing.T) {
	f := New(Options{Root: 5})
	defer f.Close()
	const n = 20_000
	for kind, above := range map[ServiceKind]float64{
		Constant: 0, Uniform: 0, Exponential: math.Exp(-2), LogNormal: 0.5 * math.Erfc((math.Ln2+0.5)/math.Sqrt2),
	} {
		d := Service{Kind: kind, Mean: ms, Sigma: 1}
		var sum float64
		over := 0
		for i := range n {
			x := d.draw(f, int64(i), 1)
			sum += float64(x)
			if x > 2*ms {
				over++
			}
		}
		if mean := sum / n / float64(ms); math.Abs(mean-1) > 4*1.4/math.Sqrt(n) {
			t.Errorf("kind %d: mean %.3f", kind, mean)
		}
		if share := float64(over) / n; math.Abs(share-above) > 4*0.5/math.Sqrt(n) {
			t.Errorf("kind %d: %.4f above twice the mean, want %.4f", kind, share, above)
		}
	}
}

// TestMM1: open-loop arrivals, exponential, at 0.8 of what one exponential worker does: the mean time in the system is
// 1/(mu-lambda) = 5 service times (Kleinrock, Queueing Systems I, section 3.2), within a tenth for 20,000 requests whose
// correlation time is some 100; and the tail above 15 is exp(-3).
func TestMM1(t *testing.T) {
	const n = 20_000
	arrivals := seed.Root(9).Stream("arrivals").Rand()
	var at []time.Duration
	var now time.Duration
	for range n {
		now += time.Duration(arrivals.ExpFloat64() * float64(ms) / 0.8)
		at = append(at, now)
	}
	took, failed := ask(t, &Server{Workers: 1, Service: Service{Kind: Exponential, Mean: ms}}, 9, at)
	if failed > 0 || len(took) != n {
		t.Fatal(len(took), failed)
	}
	var sum time.Duration
	over := 0
	for _, d := range took {
		sum += d
		if d > 15*ms {
			over++
		}
	}
	if mean := float64(sum) / n / float64(ms); mean < 4.3 || mean > 5.7 {
		t.Errorf("mean time in the system %.2f service times, want 5", mean)
	}
	if share := float64(over) / n; share < 0.035 || share > 0.065 {
		t.Errorf("%.4f take more than 15, want %.4f", share, math.Exp(-3))
	}
}

// TestExchanges: many exchanges follow one another on one connection, in the order in which they were asked for; large ones pass
// send buffers and receive windows.
func TestExchanges(t *testing.T) {
	f, a, b := wire(t, Link{Delay: ms}, Options{})
	to := netip.MustParseAddrPort("192.0.2.2:80")
	must2(t, b.Listen(packet.TCP, to, &Server{}))
	var order []int
	must2(t, a.Open(Open{Proto: packet.TCP, Dst: to}, func(_ time.Duration, _ replay.Result, c *Conn) {
		for i, size := range []int{1, 100, 10_000_000, 16} {
			c.Exchange(size, size, func(_ time.Duration, why string) {
				if why != "" {
					t.Error(why)
				}
				order = append(order, i)
			})
		}
	}))
	f.Advance(time.Minute)
	if !slices.Equal(order, []int{0, 1, 2, 3}) {
		t.Error(order)
	}
}

// TestEverywhere: a host-network server that listens at all addresses serves every one of them, knows the flows that come, and
// gives each the reply it asks for.
func TestEverywhere(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		u := build(t, shape{v6: v6})
		s := &Server{}
		for _, proto := range []packet.Protocol{packet.TCP, packet.UDP} {
			must2(t, u.node.Host().Listen(proto, netip.AddrPortFrom(netip.Addr{}, 9999), s))
		}
		size := uint32(0)
		u.pod.tap = func(it *item) bool {
			var p packet.Packet
			var l layout
			b := bytesOf(nil, it.pkt)
			if read(flat(b), len(b), &p, &l) == sound && p.Proto == packet.UDP {
				size = p.LengthBytes
			}
			return true
		}
		to := netip.AddrPortFrom(u.nodeIP(), 9999)
		if r := u.try(t, u.pod, Open{Flow: 7, Proto: packet.TCP, Dst: to}); r.result != replay.Answered || r.why != "" {
			t.Errorf("v6 %v TCP: %+v", v6, r)
		}
		must2(t, u.pod.Open(Open{Flow: 8, Proto: packet.UDP, Dst: to, Reply: 700}, func(_ time.Duration, r replay.Result, _ *Conn) {
			if r != replay.Answered {
				t.Errorf("v6 %v UDP: %v", v6, r)
			}
		}))
		u.f.Advance(u.f.Now() + time.Second)
		if want := map[bool]uint32{false: 728, true: 748}[v6]; size != want {
			t.Errorf("v6 %v: the reply has %d bytes, want %d", v6, size, want)
		}
		if r := u.try(t, u.node.Host(), Open{Proto: packet.TCP, Dst: netip.AddrPortFrom(u.pick("127.0.0.1", "::1"), 9999)}); r.result != replay.Answered {
			t.Errorf("v6 %v by loopback: %v", v6, r.result)
		}
	}
}
