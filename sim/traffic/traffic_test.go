package traffic

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/seed"
)

func group(name string, clients, n int, gap time.Duration) Group {
	g := Group{Name: name, Proto: packet.TCP, To: netip.MustParseAddrPort("10.96.0.1:80"), Connections: n, Gap: gap}
	a := netip.MustParseAddr("10.244.1.10")
	for range clients {
		g.Clients = append(g.Clients, a)
		a = a.Next()
	}
	return g
}

// The logarithm in integers agrees with floating point to 2^-30.
func TestExponential(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	words := []uint64{1, 2, 3, 1 << 31, 1 << 63, 1<<64 - 1, 1<<63 + 1}
	for range 10000 {
		words = append(words, r.Uint64()>>r.IntN(64))
	}
	for _, w := range words {
		want := -math.Log(float64(w|1) / (1 << 63) / 2)
		if got := float64(exponential(w)) / (1 << 32); math.Abs(got-want) > 1.0/(1<<28) {
			t.Fatalf("%x: %v, want %v", w, got, want)
		}
	}
}

// Mean and spread of Poisson gaps: for n gaps of mean g the sum has standard deviation g·sqrt(n); six of them are allowed.
func TestPoissonArrivals(t *testing.T) {
	g := group("p", 1, 100000, time.Millisecond)
	g.Poisson = true
	var last Flow
	for f := range Flows(seed.Root(5), []Group{g}) {
		if f.At < last.At {
			t.Fatalf("flow %d comes at %v, after %v", f.ID, f.At, last.At)
		}
		last = f
	}
	off := last.At - 100*time.Second
	if limit := 6 * 317 * time.Millisecond; off < -limit || off > limit {
		t.Errorf("100000 gaps of 1ms end at %v", last.At)
	}
}

// Each client has its own ports, none twice within the range, and the turns are even.
func TestSourcesAreDistinct(t *testing.T) {
	seen := map[netip.AddrPort]bool{}
	turns := map[netip.Addr]int{}
	for f := range Flows(1, []Group{group("t", 10, 100000, time.Millisecond)}) {
		if seen[f.Src] {
			t.Fatalf("flow %d reuses %v", f.ID, f.Src)
		}
		seen[f.Src] = true
		turns[f.Src.Addr()]++
	}
	for a, n := range turns {
		if n != 10000 {
			t.Errorf("%v opened %d of 100000", a, n)
		}
	}
}

// A group's flows are the same whether or not another group stands beside it, and all come in the order of time.
func TestGroupsAreIndependent(t *testing.T) {
	a := group("a", 3, 500, 3*time.Millisecond)
	a.Poisson = true
	b := group("b", 2, 700, time.Millisecond)
	b.Poisson = true
	alone := slices.Collect(Flows(9, []Group{a}))
	var beside []Flow
	var last time.Duration
	for f := range Flows(9, []Group{b, a}) {
		if f.At < last {
			t.Fatal("time runs backwards")
		}
		last = f.At
		if f.Group == 1 {
			beside = append(beside, f)
		}
	}
	for i := range alone {
		if alone[i].At != beside[i].At || alone[i].Src != beside[i].Src {
			t.Fatalf("flow %d: %v alone, %v beside", i, alone[i], beside[i])
		}
	}
}

// Bursts come at one moment and keep the mean rate; pauses hold no arrival. Expectation: arithmetic.
func TestBurstsAndPauses(t *testing.T) {
	g := group("b", 2, 10, time.Second)
	g.Burst = 5
	var at []time.Duration
	for f := range Flows(seed.Root(1), []Group{g}) {
		at = append(at, f.At)
	}
	if want := []time.Duration{0, 0, 0, 0, 0, 5 * time.Second, 5 * time.Second, 5 * time.Second, 5 * time.Second, 5 * time.Second}; !slices.Equal(at, want) {
		t.Errorf("bursts at %v", at)
	}
	g = group("p", 1, 6, time.Second)
	g.On, g.Off, g.Ports = 2*time.Second, 8*time.Second, 1
	at = at[:0]
	for f := range Flows(seed.Root(1), []Group{g}) {
		at = append(at, f.At/time.Second)
		if want := uint16(firstPort + offset("p")); f.Src.Port() != want {
			t.Errorf("a client with one port used %d, not %d", f.Src.Port(), want)
		}
	}
	if want := []time.Duration{0, 1, 10, 11, 20, 21}; !slices.Equal(at, want) {
		t.Errorf("arrivals at second %v, want %v", at, want)
	}
}

// Lengths drawn around a mean: n of mean m have the sum n·m with standard deviation m·sqrt(n); six of them are allowed.
func TestDrawnLengths(t *testing.T) {
	const n = 10000
	g := group("l", 1, n, time.Millisecond)
	g.Duration, g.Drawn = time.Second, true
	var sum time.Duration
	for f := range Flows(seed.Root(1), []Group{g}) {
		sum += f.Duration
	}
	if off := sum - n*time.Second; off > 600*time.Second || off < -600*time.Second {
		t.Errorf("%d lengths of mean 1s add up to %s", n, sum)
	}
}
