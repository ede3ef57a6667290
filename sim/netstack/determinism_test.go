package netstack

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/replay"
	"github.com/svclab/svclab/sim/seed"
	"github.com/svclab/svclab/sim/vtime"
)

// tale is one TCP scenario of the determinism test.
type tale struct {
	name     string
	link     Link
	v6       bool
	server   Server
	flows    int
	every    time.Duration // between openings; 0: all at one instant
	request  int
	reply    int
	rounds   int // exchanges on each connection
	reset    bool
	outside  bool
	nodePort bool
	local    bool // from the node itself
	empty    bool // the Service without endpoints
	hairpin  bool
	dies     time.Duration // when the first backend loses power
	timeout  time.Duration
	check    bool // real checksums
}

var ms = time.Millisecond

// tales are the 20 scenarios; every loss, delay and service time in them is drawn from the seed.
var tales = []tale{
	{name: "one instant", flows: 20, rounds: 1},
	{name: "one instant v6", flows: 20, rounds: 1, v6: true},
	{name: "delay", flows: 20, rounds: 2, link: Link{Delay: ms}},
	{name: "jitter", flows: 20, rounds: 2, every: 100 * time.Microsecond, link: Link{Delay: ms, Jitter: 5 * ms}},
	{name: "loss", flows: 15, rounds: 2, link: Link{Delay: ms, Loss: 0.05}},
	{name: "heavy loss", flows: 12, rounds: 1, link: Link{Delay: ms, Loss: 0.2}, timeout: 20 * time.Second},
	{name: "loss v6", flows: 15, rounds: 2, v6: true, link: Link{Delay: 3 * ms, Loss: 0.05}},
	{name: "bandwidth", flows: 5, rounds: 1, reply: 100_000, link: Link{Delay: ms, BitsPerSecond: 100_000_000}},
	{name: "large both ways", flows: 3, rounds: 1, request: 200_000, reply: 200_000, link: Link{Delay: ms}},
	{name: "large with loss", flows: 3, rounds: 1, reply: 200_000, link: Link{Delay: ms, Loss: 0.01}},
	{name: "small queue", flows: 15, rounds: 1, link: Link{Delay: ms}, server: Server{Workers: 1, Queue: 5, Service: Service{Kind: Exponential, Mean: 2 * ms}}, timeout: time.Second},
	{name: "resetting queue", flows: 15, rounds: 1, link: Link{Delay: ms}, server: Server{Workers: 2, Queue: 3, Full: ResetRequest, Service: Service{Kind: LogNormal, Mean: 2 * ms, Sigma: 1}}},
	{name: "resets", flows: 20, rounds: 1, reset: true, link: Link{Delay: ms}},
	{name: "node port", flows: 20, rounds: 1, outside: true, nodePort: true, link: Link{Delay: ms}},
	{name: "node itself", flows: 15, rounds: 1, local: true},
	{name: "hairpin", flows: 15, rounds: 1, hairpin: true},
	{name: "refused", flows: 20, rounds: 1, empty: true, link: Link{Delay: ms}},
	{name: "backend dies", flows: 12, rounds: 4, every: ms, dies: 10 * ms, link: Link{Delay: ms}, timeout: 3 * time.Second},
	{name: "keep-alive", flows: 5, rounds: 20, link: Link{Delay: ms, Jitter: ms}},
	{name: "checksums", flows: 15, rounds: 2, check: true, link: Link{Delay: ms, Loss: 0.02}},
}

// tell runs a scenario and returns what each connection saw and what each packet did, in order.
func (x tale) tell(t testing.TB, root seed.Root) string {
	var trace strings.Builder
	seen := make([][]string, x.flows)
	ordinal := map[int64]int{}
	var raw []byte
	var u *universe
	o := Options{Root: root, Link: x.link, Checksums: x.check}
	o.After = func(n *Node, in string, was, is *packet.Packet, d *datapath.Disposition) {
		fl := u.f.Flow()
		ordinal[fl]++
		h := fnv.New64a()
		raw = n.Bytes(raw[:0])
		_, _ = h.Write(raw)
		fmt.Fprintf(&trace, "%d %d.%d %q %s>%s %s %d %s>%s %s %x\n",
			u.f.Now(), fl, ordinal[fl], in, was.Src, was.Dst, was.TCPFlags, was.LengthBytes, is.Src, is.Dst, d.Fate, h.Sum64())
	}
	server := x.server
	u = build(t, shape{Options: o, v6: x.v6, server: &server})
	from, to := u.pod, u.web()
	switch {
	case x.outside:
		from, to = u.outer, netip.AddrPortFrom(u.nodeIP(), 30080)
	case x.local:
		from = u.node.Host()
	case x.hairpin:
		from = u.backends[0]
	case x.empty:
		to = netip.AddrPortFrom(u.empty(), 80)
	}
	request, reply := max(x.request, 16), max(x.reply, 16)
	for i := range x.flows {
		say := func(now time.Duration, what string) { seen[i] = append(seen[i], fmt.Sprint(now, " ", what)) }
		u.f.At(vtime.Key{At: time.Duration(i) * x.every, Flow: int64(i)}, func() {
			o := Open{Flow: int64(i), Proto: packet.TCP, Dst: to, Timeout: x.timeout, Patience: x.timeout}
			err := from.Open(o, func(now time.Duration, r replay.Result, c *Conn) {
				say(now, r.String())
				if c == nil {
					return
				}
				left := x.rounds
				var next func(time.Duration, string)
				next = func(now time.Duration, why string) {
					say(now, why)
					if left--; left >= 0 && why == "" {
						c.Exchange(request, reply, next)
						return
					}
					if x.reset {
						c.Reset()
					} else {
						c.Close()
					}
				}
				next(now, "")
			})
			if err != nil {
				say(0, err.Error())
			}
		})
	}
	if x.dies > 0 {
		u.f.At(vtime.Key{At: x.dies, Flow: -1}, u.backends[0].Off)
	}
	u.f.Advance(3 * time.Minute)
	for i, s := range seen {
		fmt.Fprintln(&trace, i, s)
	}
	fmt.Fprintf(&trace, "%+v\n", u.f.Stats())
	u.f.Close()
	return trace.String()
}

// TestSameRun tells every scenario again and again while other goroutines disturb the scheduler and the number of processors
// changes: what connections see and what packets do is the same, byte by byte. 20 times; 1,000 times with SVCLAB_FIGURES=1.
func TestSameRun(t *testing.T) {
	repeats := 20
	if os.Getenv("SVCLAB_FIGURES") != "" {
		repeats = 1000
	}
	was := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(was)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				select {
				case <-stop:
					return
				default:
					for range 20 {
						runtime.Gosched()
					}
					time.Sleep(10 * time.Microsecond)
				}
			}
		}()
	}
	defer wg.Wait()
	defer close(stop)
	for k, x := range tales {
		t.Run(x.name, func(t *testing.T) {
			var first string
			for i := range repeats {
				runtime.GOMAXPROCS(1 + (i+k)%4)
				got := x.tell(t, 7)
				if first == "" {
					first = got
				}
				if got != first {
					t.Fatalf("repeat %d differs: %s", i, difference(first, got))
				}
			}
			if k := len(first); k < 1000 {
				t.Errorf("only %d bytes of trace", k)
			}
		})
	}
}

// difference is the first line in which two traces differ.
func difference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("line %d of %d\n%s\n%s", i, len(x), x[i], y[i])
		}
	}
	return fmt.Sprintf("%d lines, then %d", len(x), len(y))
}
