package netstack

import (
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/replay"
)

// load keeps some connections going: connect, a request and a reply of 16 bytes, close.
type load struct {
	u       *universe
	to      []netip.AddrPort // in turns
	started int
	left    int
	done    int
	failed  int
}

func (l *load) start() {
	if l.left == 0 {
		return
	}
	l.left--
	l.started++
	o := Open{Flow: int64(l.started), Proto: packet.TCP, Dst: l.to[l.started%len(l.to)]}
	if err := l.u.pod.Open(o, l.opened); err != nil {
		panic(err)
	}
}

func (l *load) opened(_ time.Duration, r replay.Result, c *Conn) {
	if r != replay.Answered {
		l.failed++
		l.start()
		return
	}
	c.Exchange(16, 16, func(_ time.Duration, why string) {
		if why != "" {
			l.failed++
		}
		l.done++
		c.Close()
		l.start()
	})
}

// run makes n connections, some at a time.
func (l *load) run(tb testing.TB, n, atOnce int) {
	l.left, l.done, l.failed = n, 0, 0
	for range atOnce {
		l.start()
	}
	for l.done < n {
		at, ok := l.u.f.Next()
		if !ok {
			tb.Fatalf("nothing is due after %d of %d connections", l.done, n)
		}
		l.u.f.Advance(at)
	}
	if l.failed > 0 {
		tb.Fatalf("%d of %d connections failed", l.failed, n)
	}
}

// cpu is the processor time that the process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// world is a universe with its load: through the model by way of the Service, or without a model straight to the backends.
func world(b *testing.B, passThrough bool) *load {
	u := build(b, shape{passThrough: passThrough, Options: Options{TimeWait: time.Millisecond, Link: Link{Delay: 100 * ms}}})
	l := &load{u: u, to: []netip.AddrPort{u.web()}}
	if passThrough {
		l.to = nil
		for i := range u.backends {
			l.to = append(l.to, netip.AddrPortFrom(u.back(i), 8080))
		}
	}
	l.run(b, 1000, atOnce)
	return l
}

const atOnce = 100

// BenchmarkConnections measures connect, a request and a reply of 16 bytes, and close through the iptables model of nginx, and
// in the same run, in turns, what the same stacks do around a node that passes everything on. Processor time counts, for the
// machine may be busy.
func BenchmarkConnections(b *testing.B) {
	model, plain := world(b, false), world(b, true)
	b.ReportAllocs()
	b.ResetTimer()
	const turn = 300
	var with, without []time.Duration
	for range max(b.N/turn, 1) {
		t0 := cpu()
		model.run(b, turn, atOnce)
		t1 := cpu()
		plain.run(b, turn, atOnce)
		with, without = append(with, t1-t0), append(without, cpu()-t1)
	}
	b.ReportMetric(turn/lower(with).Seconds(), "conn/cpu-s")
	b.ReportMetric(100*lower(without).Seconds()/lower(with).Seconds(), "%-of-plain")
}

// lower is the tenth percentile: what a busy machine spoils least.
func lower(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/10]
}

// BenchmarkShards runs one universe, and two at once in goroutines of their own, each with half of the connections: how much
// faster two are by the clock, which says something on a machine with two idle processors, and how much they would be by the
// processor time that they take.
func BenchmarkShards(b *testing.B) {
	one, other := world(b, false), world(b, false)
	b.ResetTimer()
	const turn = 2000
	var alone, together, aloneCPU, togetherCPU time.Duration
	for done := 0; done < b.N; done += turn {
		c0, t0 := cpu(), time.Now()
		one.run(b, turn, atOnce)
		c1, t1 := cpu(), time.Now()
		var wg sync.WaitGroup
		for _, l := range []*load{one, other} {
			wg.Go(func() { l.run(b, turn/2, atOnce) })
		}
		wg.Wait()
		alone, together = alone+t1.Sub(t0), together+time.Since(t1)
		aloneCPU, togetherCPU = aloneCPU+c1-c0, togetherCPU+cpu()-c1
	}
	b.ReportMetric(2*aloneCPU.Seconds()/togetherCPU.Seconds(), "x-by-cpu-time")
	b.ReportMetric(alone.Seconds()/together.Seconds(), "x-with-two")
}

// TestNoGrowth makes connections, one after the other in the same universe, and compares the memory in use after the first part
// and at the end: a million with SVCLAB_FIGURES=1.
func TestNoGrowth(t *testing.T) {
	n := 4_000
	if os.Getenv("SVCLAB_FIGURES") != "" {
		n = 1_000_000
	}
	u := build(t, shape{Options: Options{TimeWait: ms, Link: Link{Delay: 100 * ms}}})
	l := &load{u: u, to: []netip.AddrPort{u.web()}}
	l.run(t, n/2, atOnce)
	u.f.Advance(u.f.Now() + 5*time.Minute) // what lingers is gone
	before := heap()
	goroutines := runtime.NumGoroutine()
	l.run(t, n/2, atOnce)
	u.f.Advance(u.f.Now() + 5*time.Minute)
	u.dp.Advance(u.f.Now())
	after := heap()
	t.Logf("%d connections: %d KiB in use after half of them, %d KiB at the end; %d goroutines", n, before>>10, after>>10, goroutines)
	if after-before > 512<<10 {
		t.Errorf("%d bytes more", after-before)
	}
	if g := runtime.NumGoroutine(); g > goroutines {
		t.Errorf("%d goroutines, then %d", goroutines, g)
	}
	if u.dp.Conns.Len() != 0 {
		t.Errorf("%d connections are still tracked", u.dp.Conns.Len())
	}
}

// establish makes a connection through the model and returns a segment of its client and one of its server, as they reach the
// node.
func establish(tb testing.TB, u *universe) (request, reply []byte) {
	tb.Helper()
	u.f.o.After = func(_ *Node, _ string, was, _ *packet.Packet, _ *datapath.Disposition) {
		if was.TCPFlags == packet.ACK|packet.PSH {
			return
		}
	}
	u.f.o.Before = func(n *Node, _ string, p *packet.Packet) {
		if p.TCPFlags.Has(packet.PSH) {
			if b := n.Bytes(nil); p.Src.Addr() == u.podIP() {
				request = b
			} else {
				reply = b
			}
		}
	}
	done := false
	must2(tb, u.pod.Open(Open{Proto: packet.TCP, Dst: u.web()}, func(_ time.Duration, r replay.Result, c *Conn) {
		c.Exchange(16, 16, func(time.Duration, string) { done = true })
	}))
	u.f.Advance(u.f.Now() + time.Second)
	u.f.o.Before, u.f.o.After = nil, nil
	if !done || request == nil || reply == nil {
		tb.Fatal("no connection")
	}
	return request, reply
}

// through passes a packet through the node and takes it back before it goes on.
func (u *universe) through(it *item, pristine []byte) {
	b, _ := it.pkt.Data().PullUp(len(pristine))
	copy(b, pristine)
	it.node, it.in, it.to, it.hops, it.at = u.node, u.node.host.PodInterface, nil, 0, u.f.now
	u.f.walk(it)
	u.f.soon = u.f.soon[:0]
	if it.to == nil {
		panic("the packet did not pass")
	}
}

// BenchmarkNode measures the node's part alone: a segment of an open connection is read, walked, rewritten, and put on its way.
func BenchmarkNode(b *testing.B) {
	for _, v6 := range []bool{false, true} {
		name := "v4"
		if v6 {
			name = "v6"
		}
		b.Run(name, func(b *testing.B) {
			u := build(b, shape{v6: v6})
			request, reply := establish(b, u)
			one, two := &item{pkt: packetOf(request)}, &item{pkt: packetOf(reply)}
			b.ReportAllocs()
			c := cpu()
			for b.Loop() {
				u.through(one, request)
				u.through(two, reply)
			}
			b.ReportMetric(float64((cpu()-c).Nanoseconds())/float64(2*b.N), "cpu-ns/packet")
		})
	}
}

// TestNodeAllocatesNothing: the node's part of a packet costs no memory, in both families and directions.
func TestNodeAllocatesNothing(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		u := build(t, shape{v6: v6, Options: Options{Checksums: true}})
		request, reply := establish(t, u)
		one, two := &item{pkt: packetOf(request)}, &item{pkt: packetOf(reply)}
		if n := testing.AllocsPerRun(1000, func() {
			u.through(one, request)
			u.through(two, reply)
		}); n != 0 {
			t.Errorf("v6 %v: %v allocations for two packets", v6, n)
		}
	}
}
