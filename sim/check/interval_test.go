package check

import (
	"fmt"
	"math"
	"math/big"
	"testing"
)

// Membership by definition: the truth belongs to the confidence sequence as long
// as prior over posterior density there stays below 1/level. Computed here from
// the two densities with math.Lgamma, apart from the code under test.
func belongs(theta, a, b float64, s, n int64, level float64) bool {
	logBeta := func(a, b float64) float64 {
		x, _ := math.Lgamma(a)
		y, _ := math.Lgamma(b)
		z, _ := math.Lgamma(a + b)
		return x + y - z
	}
	fs, ff := float64(s), float64(n-s)
	logPrior := -logBeta(a, b)
	logPosterior := -logBeta(a+fs, b+ff) + fs*math.Log(theta) + ff*math.Log1p(-theta)
	return logPrior-logPosterior < -math.Log(level)
}

func TestIntervalIsItsDefinition(t *testing.T) {
	const k, level = 3, 1e-3
	p := big.NewRat(1, 3)
	a, b := 30.*k/3, 30.*k*2/3
	for _, c := range [][2]int64{{0, 0}, {0, 10}, {10, 10}, {1, 3}, {33, 100}, {60, 100}, {33300, 100000}, {40000, 100000}, {0, 100000}} {
		low, high := Interval(p, k, c[0], c[1], level)
		for _, theta := range []float64{0.001, 0.01, 0.1, 0.2, 0.3, 0.32, 1. / 3, 0.335, 0.34, 0.35, 0.4, 0.41, 0.5, 0.7, 0.9, 0.999} {
			in := theta > low && theta < high
			if want := belongs(theta, a, b, c[0], c[1], level); in != want {
				t.Errorf("%d of %d: [%g, %g] holds %g: %v, the definition says %v", c[0], c[1], low, high, theta, in, want)
			}
		}
	}
}

// At level 0.05, over all looks to 10⁴, the interval loses the truth in at most
// 5 % of the runs, where the model's share is right and where it is not. The
// ratio at the truth is followed draw by draw; the real interval is taken at
// powers of two and where the ratio first gives the truth up, and must agree.
func TestIntervalCoverageOverAllLooks(t *testing.T) {
	runs := runs(1000)
	const k, level = 3, 0.05
	for _, c := range []struct {
		expected *big.Rat
		truth    float64
	}{
		{big.NewRat(1, 3), 1. / 3},
		{big.NewRat(1, 3), 0.36},
		{big.NewRat(1, 10), 0.1},
	} {
		t.Run(fmt.Sprintf("%s true %.3g", c.expected.RatString(), c.truth), func(t *testing.T) {
			p, _ := c.expected.Float64()
			a, b := 30*k*p, 30*k*(1-p)
			d := newDrawer(4, c.truth, 1-c.truth)
			lost := 0
			for range runs {
				var s int64
				ratio := 1.0 // prior over posterior density at the truth, as a running product
				for n := int64(1); n <= 10000; n++ {
					if d.draw() == 0 {
						ratio *= (a + float64(s)) / (a + b + float64(n-1)) / c.truth
						s++
					} else {
						ratio *= (b + float64(n-1-s)) / (a + b + float64(n-1)) / (1 - c.truth)
					}
					gone := ratio >= 1/level
					if gone || n&(n-1) == 0 {
						low, high := Interval(c.expected, k, s, n, level)
						if in := c.truth > low && c.truth < high; in == gone && math.Abs(ratio*level-1) > 1e-9 {
							t.Fatalf("%d of %d: [%g, %g], ratio %g", s, n, low, high, ratio)
						}
					}
					if gone {
						lost++
						break
					}
				}
			}
			share := float64(lost) / float64(runs)
			t.Logf("lost in %.2f %% of %d runs", 100*share, runs)
			if share < 0.002 || share > 0.05+3*math.Sqrt(0.05*0.95/float64(runs)) {
				t.Errorf("the truth is lost in %.2f %% of the runs", 100*share)
			}
		})
	}
}

// Two epochs with different shares of one backend: the common relative deviation
// is found where it was planted, and 0 is held where none was.
func TestIntervalAcrossEpochs(t *testing.T) {
	arms := func(r float64) []arm {
		return []arm{
			{p: .5, q: .5, c: 60, n: 100000, s: int64(50000 * (1 + r))},
			{p: .2, q: .8, c: 150, n: 50000, s: int64(10000 * (1 + r))},
		}
	}
	for _, r := range []float64{0, 0.05, -0.2} {
		low, high := relativeInterval(arms(r), 1e-6)
		if !(low < r && r < high) || high-low > 0.08 {
			t.Errorf("planted %g: [%g, %g]", r, low, high)
		}
		if r != 0 && low < 0 && high > 0 {
			t.Errorf("planted %g: [%g, %g] still holds 0", r, low, high)
		}
	}
}
