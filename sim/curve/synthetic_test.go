package curve

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/svclab/svclab/sim/seed"
)

func generator(name string) *rand.Rand { return seed.Root(7).Stream(name).Rand() }

// world is a machine that is made up: what a connection takes there is known.
type world struct {
	perService float64 // ns that each Service before the last costs
	bend       float64 // share that this grows by from 1,000 to 10,000 Services, evenly on the logarithm
	square     float64 // ns for each pair of Services before the last
	noise      func(rng *rand.Rand) float64
	drift      float64 // share that everything is slower by at the end
	moods      float64 // share by which a round is slower than another, at most
}

var madeSizes = []int{1, 100, 1000, 3000, 10000}

const madeBase = 25_000 // ns

// quiet noise adds up to a µs; loud noise is a machine that is shared: half of the blocks are disturbed, some of them by
// whole time slices.
func quiet(rng *rand.Rand) float64 { return 1000 * rng.Float64() }

func loud(rng *rand.Rand) float64 {
	n := 300 * rng.ExpFloat64()
	if rng.IntN(2) == 0 {
		n += 20_000 * rng.ExpFloat64()
	}
	if rng.IntN(10) == 0 {
		n += 400_000 * rng.Float64()
	}
	return n
}

// line measures the world.
func (w world) line(rng *rand.Rand, rounds, blocks int) *Line {
	l := &Line{Series: AllSeries()[0]}
	for _, n := range madeSizes {
		l.Points = append(l.Points, Point{Services: n, FirstRules: 15, LastRules: 14 + n})
	}
	order := make([]int, len(madeSizes))
	for i := range order {
		order[i] = i
	}
	now, all := 0, float64(rounds*len(madeSizes)*2*blocks)
	for range rounds {
		mood := 1 + w.moods*rng.Float64()
		rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, i := range order {
			p := &l.Points[i]
			per := w.perService * (1 + w.bend*max(0, math.Log10(float64(p.Services)/1000)))
			var v visit
			for _, target := range turns(rng, blocks) {
				t := float64(madeBase)
				if target == toLast {
					ahead := float64(p.Services - 1)
					t += per*ahead + w.square*ahead*ahead
				}
				t = t*mood*(1+w.drift*float64(now)/all) + w.noise(rng)
				v[target] = append(v[target], time.Duration(t))
				now++
			}
			p.visits = append(p.visits, v)
		}
	}
	for i := range l.Points {
		l.Points[i].summarise()
	}
	return l
}

// shapes counts what is said of many measurements of one world, and how often the interval holds the slope.
func (w world) shapes(name string, times, rounds, blocks int) (counts map[Shape]int, held int) {
	counts = map[Shape]int{}
	rng := generator(name)
	for range times {
		r := &Result{Lines: []Line{*w.line(rng, rounds, blocks)}}
		r.judge()
		l := &r.Lines[0]
		counts[l.Shape]++
		if l.Fit.PerService.Low <= w.perService && w.perService <= l.Fit.PerService.High {
			held++
		}
	}
	return counts, held
}

// TestShapes: what made-up worlds are called. Counts are of 200 measurements; a level of 2.5 % allows 5 false verdicts on average,
// and 12 or more in one of 300 cases.
func TestShapes(t *testing.T) {
	const times, rounds, blocks = 200, 20, 12
	bound := flatShare * leastPerRule
	for _, c := range []struct {
		name     string
		w        world
		want     Shape
		atLeast  int
		never    Shape
		atMost   int
		interval bool // holds the slope as often as it says
	}{
		{"rises, quiet", world{perService: 5, noise: quiet}, Linear, 200, Flat, 0, true},
		{"rises, loud", world{perService: 5, noise: loud}, Linear, 190, Flat, 0, true},
		{"rises, as caches make it", world{perService: 4, bend: 0.4, noise: quiet}, Linear, 200, Flat, 0, false},
		{"rises, on a machine that gets half as fast", world{perService: 5, noise: quiet, drift: 1}, Linear, 200, Flat, 0, false},
		{"flat, quiet", world{noise: quiet}, Flat, 200, Linear, 0, true},
		{"flat, loud", world{noise: loud}, Flat, 190, Linear, 0, true},
		{"flat, on a machine that gets half as fast", world{noise: quiet, drift: 1}, Flat, 195, Linear, 0, true},
		{"flat, with moods", world{noise: quiet, moods: 0.5}, Flat, 195, Linear, 0, true},
		{"flat, far too loud", world{noise: func(rng *rand.Rand) float64 { return 200_000 * rng.Float64() }}, TooNoisy, 180, Linear, 0, true},
		{"rises, far too loud", world{perService: 0.5, noise: func(rng *rand.Rand) float64 { return 400_000 * rng.Float64() }}, TooNoisy, 180, Linear, 11, true},
		{"on the bound: not flat", world{perService: bound, noise: loud}, TooNoisy, 150, Flat, 11, true},
		{"on the bound: not linear", world{perService: bound, noise: loud}, TooNoisy, 150, Linear, 11, true},
		{"a parabola", world{square: 0.001, noise: quiet}, TooNoisy, 200, Linear, 0, false},
	} {
		counts, held := c.w.shapes(c.name, times, rounds, blocks)
		if counts[c.want] < c.atLeast || counts[c.never] > c.atMost {
			t.Errorf("%s: %v, want %s at least %d times and %s at most %d times", c.name, counts, c.want, c.atLeast, c.never, c.atMost)
		}
		if c.interval && held < 180 { // 95 % is 190; fewer than 180 in one of 1,000 cases
			t.Errorf("%s: the interval held the slope %d times of %d", c.name, held, times)
		}
	}
}

// TestReference: IPVS is measured by the iptables of its own vehicle.
func TestReference(t *testing.T) {
	for _, c := range []struct {
		iptables, ipvs float64
		want           Shape
	}{{10, 0.4, Flat}, {5, 0.4, Linear}, {10, 0.6, Linear}, {5, -0.1, Flat}, {5, -3, TooNoisy}} {
		rng := generator("reference")
		r := &Result{}
		for i, s := range AllSeries()[2:] {
			l := world{perService: []float64{c.iptables, c.ipvs}[i], noise: quiet}.line(rng, 20, 12)
			l.Series = s
			r.Lines = append(r.Lines, *l)
		}
		r.Lines[0], r.Lines[1] = r.Lines[1], r.Lines[0]
		r.judge()
		l := r.Lines[0]
		if l.Shape != c.want || l.Against != "uml-iptables" || math.Abs(l.Bound-c.iptables/20) > 0.01 {
			t.Errorf("%g ns beside %g: %s, %s", c.ipvs, c.iptables, l.Shape, l.Why)
		}
		for _, q := range r.Ratios() {
			if want := c.ipvs / c.iptables; q.Low > want || q.High < want || q.Low > q.Value || q.High < q.Value {
				t.Errorf("%g ns beside %g: ratio %s", c.ipvs, c.iptables, q.Estimate)
			}
		}
	}
}

// TestMedian: the interval's ends are those of the tables for the sign test (for 20 values the 6th and 15th, for 40 the 14th and
// 27th; for five none).
func TestMedian(t *testing.T) {
	for n, k := range map[int]int{5: 0, 6: 1, 8: 1, 9: 2, 12: 3, 20: 6, 40: 14} {
		var v []float64
		for i := n; i > 0; i-- {
			v = append(v, float64(i))
		}
		e := median(v)
		if k == 0 {
			if !math.IsInf(e.Low, -1) || !math.IsInf(e.High, 1) {
				t.Errorf("%d values: %+v", n, e)
			}
		} else if e.Low != float64(k) || e.High != float64(n+1-k) {
			t.Errorf("%d values: %+v, want the %d. from either end", n, e, k)
		}
		if e.Value != float64(n+1)/2 {
			t.Errorf("%d values: median %g", n, e.Value)
		}
	}
}
