package check

import (
	"fmt"
	"math"
	"math/big"
	"testing"
)

// The wagers by hand. Two draws of one cell among two: a wager of concentration c
// gives the second (c/2+1)/(c+1), the null 1/2. With 21 cells of 1/21 half of the
// wager sits on single cells: one was hit twice, twenty were missed twice.
func TestWagersByHand(t *testing.T) {
	mean := func(k float64, value func(c float64) float64) float64 {
		return (value(k) + value(30*k) + value(1000*k)) / 3
	}
	second := func(p float64) func(float64) float64 {
		return func(c float64) float64 { return (c*p + 1) / ((c + 1) * p) }
	}
	if got, want := math.Exp(LogE(tallies(tally(even(t, 2), 2, 0)))), mean(2, second(1./2)); math.Abs(got/want-1) > 1e-13 {
		t.Errorf("two cells: e-value %.15g, want %.15g", got, want)
	}
	hit, miss := mean(21, second(1./21)), mean(21, second(20./21))
	want := hit/2 + (hit/21+miss*20/21)/2
	if got := math.Exp(LogE(tallies(tally(even(t, 21), 2)))); math.Abs(got/want-1) > 1e-13 {
		t.Errorf("21 cells: e-value %.15g, want %.15g", got, want)
	}
}

// Against the plain product, which is the definition.
func TestLogRising(t *testing.T) {
	for _, a := range []float64{1e-6, 0.02, 0.5, 1, 7.3, 15.9, 16, 33.3, 1000, 1e6} {
		for _, n := range []int64{0, 1, 5, 64, 65, 100, 3000} {
			var want float64
			for i := range n {
				want += math.Log(a + float64(i))
			}
			if got := logRising(a, n); math.Abs(got-want) > 2e-12*(1+math.Abs(want)) {
				t.Errorf("a = %g, n = %d: got %.16g, want %.16g", a, n, got, want)
			}
		}
	}
}

// A limit beyond what a float holds beside its neighbours: other epochs may have
// sunk so low that this one must reach e^400, across the rescaling at 1e150.
func TestReachesAcrossRescaling(t *testing.T) {
	const limit = 400
	for _, k := range []int{2, 30} {
		e := newEpochProcess(newNull(even(t, k)))
		reached := 0
		for n := 1; n <= 700; n++ {
			e.add(0)
			got, want := e.reaches(limit, math.Exp(limit)*(1-1e-9)), e.logE() >= limit
			if got != want {
				t.Fatalf("k = %d, n = %d: reaches %v at ln E = %g", k, n, got, e.logE())
			}
			if got {
				reached++
			}
		}
		if reached == 0 {
			t.Errorf("k = %d: e^400 was never reached", k)
		}
	}
}

// The verdict turns at m/α and nowhere else, for one check and for a thousand.
func TestFailBeginsAtTheThreshold(t *testing.T) {
	var turns []int64
	for _, checks := range []int{1, 1000} {
		c := SharesCheck{Name: "c", Plan: NewPlan(checks), Margin: DefaultMargin()}
		last := int64(0)
		for s := int64(5000); s < 5500; s++ {
			x := tally(even(t, 2), s, 10000-s)
			r := mustCheck(t, c, x)
			if over := LogE(tallies(x)) >= math.Log(float64(checks)/1e-6); over != (r.Verdict == Fail) {
				t.Fatalf("%d of 10000: %v at ln E = %g", s, r.Verdict, r.Shares.LogE)
			} else if over && last == 0 {
				last = s
			}
		}
		turns = append(turns, last)
	}
	if turns[0] == 0 || turns[1] <= turns[0] {
		t.Errorf("FAIL begins at %v of 10000", turns)
	}
}

// Both ends of an interval count: one backend low, or one high, by more than the
// margin leaves, is INCONCLUSIVE although all other ends lie inside.
func TestEitherEndOutsideTheMargin(t *testing.T) {
	for _, counts := range [][]int64{{6600, 6700, 6700}, {6734, 6633, 6633}} {
		x := tally(even(t, 3), counts...)
		c := SharesCheck{Name: "c", Plan: NewPlan(1), Margin: DefaultMargin()}
		rest := 0.0 // the farthest end of any other than the first backend
		var first float64
		for i, b := range mustCheck(t, c, x).Shares.Backends {
			far := max(b.High-1./3, 1./3-b.Low)
			if i == 0 {
				first = far
			} else {
				rest = max(rest, far)
			}
		}
		if first <= rest {
			t.Fatalf("%v: the first backend is not the farthest off", counts)
		}
		for width, want := range map[float64]Verdict{(first + rest) / 2: Inconclusive, first + 1e-9: Pass} {
			c.Margin = Margin{Floor: new(big.Rat).SetFloat64(width)}
			if r := mustCheck(t, c, x); r.Verdict != want {
				t.Errorf("%v, margin %s: got %v (%s), want %v", counts, fmt.Sprintf("%.6g", width), r.Verdict, r.Reason, want)
			}
		}
	}
}
