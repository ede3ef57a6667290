package check

import (
	"math"
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
	if !math.IsInf(r.Shares.EValue(), 1) {
		t.Errorf("e-value %g, want infinite", r.Shares.EValue())
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
