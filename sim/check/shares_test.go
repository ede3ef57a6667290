package check

import (
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/svclab/svclab/sim/measure"
)

func sharesCheck() SharesCheck {
	x := Uniform()
	return SharesCheck{Name: "c", Plan: NewPlan(1), Expect: &x, Margin: DefaultMargin()}
}

func mustCheck(t *testing.T, c SharesCheck, tallies ...*measure.Tally) Result {
	t.Helper()
	r, err := c.Check(tallies)
	if err != nil {
		t.Fatal(err)
	}
	if r.Reason == "" {
		t.Error("a verdict without a reason")
	}
	return r
}

// Expectations: the definitions of issue "verdicts that CI can trust", and counts
// chosen by hand.
func TestSharesVerdicts(t *testing.T) {
	third := epoch(t, "715827883/2147483648", "715827883/2147483648", "715827882/2147483648")
	for _, c := range []struct {
		name    string
		tallies []*measure.Tally
		want    Verdict
		reason  string
	}{
		{"near the shares", []*measure.Tally{tally(third, 33291, 33400, 33309)}, Pass, "100000 draws agree"},
		{"far off", []*measure.Tally{tally(third, 40000, 30000, 30000)}, Fail, "refute the shares"},
		{"too few", []*measure.Tally{tally(third, 33, 33, 34)}, Inconclusive, "neither refute"},
		{"none", []*measure.Tally{tally(third, 0, 0, 0)}, Inconclusive, "no draw"},
		{"real but small", []*measure.Tally{tally(even(t, 2), 5040000, 4960000)}, Fail, "real, but smaller than the margin"},
		{"wrong chain, drawn as written", []*measure.Tally{tally(epoch(t, "1/3", "2/9", "4/9"), 33333, 22222, 44445)}, Fail, "expected 1/3"},
		{"a cell of share zero seen", []*measure.Tally{tally(epoch(t, "1", "0"), 99999, 1)}, Fail, "can never choose"},
		{"one backend", []*measure.Tally{tally(epoch(t, "1"), 10)}, Pass, "exactly"},
		{"two epochs", []*measure.Tally{tally(even(t, 2), 50000, 50000), tally(epoch(t, "1/3", "1/3", "1/3"), 33334, 33333, 33333)}, Pass, "200000"},
		{"two epochs, off in the second", []*measure.Tally{tally(even(t, 2), 50000, 50000), tally(epoch(t, "1/3", "1/3", "1/3"), 40000, 30000, 30000)}, Fail, "refute"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := mustCheck(t, sharesCheck(), c.tallies...)
			if r.Verdict != c.want || !strings.Contains(r.Reason, c.reason) {
				t.Errorf("got %v (%s), want %v with %q", r.Verdict, r.Reason, c.want, c.reason)
			}
		})
	}
}

func TestOutcomeOutsideTheCells(t *testing.T) {
	x := tally(even(t, 2), 50000, 50000)
	x.AddOutcome(measure.Timeout())
	r := mustCheck(t, sharesCheck(), x)
	if r.Verdict != Fail || !strings.Contains(r.Reason, "timeout was seen") {
		t.Errorf("got %v (%s)", r.Verdict, r.Reason)
	}
	if !math.IsInf(r.Shares.LogE, 1) || r.Shares.EValue() != 1e300 {
		t.Errorf("log e-value %g (%g), want infinite", r.Shares.LogE, r.Shares.EValue())
	}
}

func TestDoubt(t *testing.T) {
	c := sharesCheck()
	c.Doubt = "3 retransmissions in the client namespace"
	for _, x := range []*measure.Tally{tally(even(t, 2), 50000, 50000), tally(even(t, 2), 60000, 40000)} {
		if r := mustCheck(t, c, x); r.Verdict != Inconclusive || !strings.HasPrefix(r.Reason, c.Doubt) {
			t.Errorf("got %v (%s)", r.Verdict, r.Reason)
		}
	}
}

// A row by hand: shares 1/2 for 40000 draws and certain for 10000 more expect
// 30000 of 50000; two thirds of that come from draws.
func TestRowsOverEpochs(t *testing.T) {
	r := mustCheck(t, sharesCheck(), tally(even(t, 2), 20100, 19900), tally(epoch(t, "1"), 10000))
	b := r.Shares.Backends[0]
	if b.Expected.RatString() != "3/5" || b.Observed != 30100 || math.Abs(b.Share-0.602) > 1e-12 || math.Abs(b.Effect-100./30000) > 1e-12 {
		t.Errorf("first backend: %+v", b)
	}
	// the sampled part alone: 0.2 + 0.8·(interval of 20100 in 40000)
	low, high := Interval(big.NewRat(1, 2), 2, 20100, 40000, r.Shares.Level)
	if math.Abs(b.Low-(0.2+0.8*low)) > 1e-12 || math.Abs(b.High-(0.2+0.8*high)) > 1e-12 {
		t.Errorf("interval [%g, %g], want 0.2 + 0.8·[%g, %g]", b.Low, b.High, low, high)
	}
	if r.Shares.Level != 1e-6/2 {
		t.Errorf("level %g for two random rows", r.Shares.Level)
	}
}

// Opposite deviations in two epochs cancel in the rows and not in the e-value.
func TestDeviationsThatCancelAreSeen(t *testing.T) {
	a := tally(even(t, 2), 26000, 24000)
	b := tally(epoch(t, "1/2", "1/4", "1/4"), 23000, 14000, 13000)
	if r := mustCheck(t, SharesCheck{Name: "c", Plan: NewPlan(1), Margin: DefaultMargin()}, a, b); r.Verdict != Fail {
		t.Errorf("got %v (%s)", r.Verdict, r.Reason)
	}
}
