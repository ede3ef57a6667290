package check

import (
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/svclab/svclab/sim/measure"
)

// Expectations: arithmetic. 1/3-1/2-1 in 31 bits deviates by 1/6442450944 =
// 1/(3·2^31); KL = ¼·2^-62 to first order, and ln(10^6)/KL = 2.5e20.
func TestArticleChainIsUniform(t *testing.T) {
	shares := []*big.Rat{big.NewRat(715827883, 1<<31), big.NewRat(715827883, 1<<31), big.NewRat(715827882, 1<<31)}
	shares[1].Mul(new(big.Rat).Sub(big.NewRat(1, 1), shares[0]), big.NewRat(1, 2))
	shares[2].Set(shares[1])
	uniform, dev := UniformShares(shares)
	if !uniform || dev.Cmp(big.NewRat(1, 3<<31)) != 0 {
		t.Errorf("uniform %v, deviation %s", uniform, dev.RatString())
	}
	n, ok := SamplesToNotice(shares)
	if want := math.Log(1e6) / (math.Ldexp(1, -62) / 4); !ok || math.Abs(n/want-1) > 1e-8 {
		t.Errorf("samples to notice %g, want %g", n, want)
	}
}

// 0.33, 0.5, rest: off by a hundredth; KL summed in plain floats, which hold here.
func TestHandWrittenChainIsNot(t *testing.T) {
	shares := []*big.Rat{big.NewRat(33, 100), big.NewRat(335, 1000), big.NewRat(335, 1000)}
	if uniform, dev := UniformShares(shares); uniform || dev.Cmp(big.NewRat(1, 300)) != 0 {
		t.Errorf("uniform %v, deviation %s", uniform, dev.RatString())
	}
	kl := 0.33*math.Log(0.99) + 0.67*math.Log(1.005)
	n, ok := SamplesToNotice(shares)
	if !ok || math.Abs(n*kl/math.Log(1e6)-1) > 1e-8 {
		t.Errorf("samples to notice %g, want %g", n, math.Log(1e6)/kl)
	}
	if n < 2e5 || n > 2e6 {
		t.Errorf("samples to notice %g: the order of magnitude is wrong", n)
	}
}

func TestEqualSharesAreNeverNoticed(t *testing.T) {
	if n, ok := SamplesToNotice([]*big.Rat{big.NewRat(1, 2), big.NewRat(1, 2)}); ok {
		t.Errorf("noticed after %g", n)
	}
	// one backend gets nothing: KL = ln 2
	if n, ok := SamplesToNotice([]*big.Rat{big.NewRat(1, 1), new(big.Rat)}); !ok || math.Abs(n-math.Log(1e6)/math.Ln2) > 1e-9 {
		t.Errorf("got %g", n)
	}
}

func TestExactHalf(t *testing.T) {
	weights := func(pairs ...string) Expectation {
		var list []Weight
		for i, p := range pairs {
			w, err := ParseShare(p)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, Weight{endpoint(i + 1), w})
		}
		x, err := Explicit(list)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	for _, c := range []struct {
		name   string
		expect Expectation
		epoch  measure.Epoch
		holds  bool
		reason string
	}{
		{"uniform", Uniform(), even(t, 7), true, "exactly"},
		{"one part in 2^31 off", Uniform(), epoch(t, "1073741825/2147483648", "1073741823/2147483648"), true, "1/2147483648"},
		{"two parts off", Uniform(), epoch(t, "1073741826/2147483648", "1073741822/2147483648"), false, "expected 1/2"},
		{"a backend the chain forgot", Uniform(endpoint(1), endpoint(2), endpoint(3)), even(t, 2), false, "10.244.0.3:80 the share 0, expected 1/3"},
		{"a backend too many", Uniform(endpoint(1)), even(t, 2), false, "expected"},
		{"weights", weights("1", "3"), epoch(t, "1/4", "3/4"), true, "exactly"},
		{"percentages", weights("25%", "75%"), epoch(t, "1/4", "3/4"), true, "exactly"},
		{"25/25/50 against uniform", Uniform(), epoch(t, "1/4", "1/4", "1/2"), false, "expected 1/3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := c.expect.Exact([]measure.Epoch{c.epoch})
			if f.Holds != c.holds || !strings.Contains(f.Reason, c.reason) {
				t.Errorf("holds %v: %s", f.Holds, f.Reason)
			}
		})
	}
}

func TestExpectationRefuses(t *testing.T) {
	for _, list := range [][]*big.Rat{{big.NewRat(1, 2), big.NewRat(1, 3)}, {new(big.Rat)}, {big.NewRat(-1, 1), big.NewRat(2, 1)}} {
		var w []Weight
		for i, r := range list {
			w = append(w, Weight{endpoint(i), r})
		}
		var ie *InputError
		if _, err := Explicit(w); !errors.As(err, &ie) {
			t.Errorf("%v: %v", list, err)
		}
	}
	for _, text := range []string{"", "a", "1/0", "-1", "1e9", "1/2/3", strings.Repeat("9", 50), "NaN", "."} {
		if r, err := ParseShare(text); err == nil {
			t.Errorf("%q read as %s", text, r)
		}
	}
}

func TestMargins(t *testing.T) {
	for text, want := range map[string]string{
		"": "10%, at least 0.5 points", "10%": "10%", "0.5 points": "0.5 points", "1 point": "1 points", "12.5%, at least 1 points": "12.5%, at least 1 points",
	} {
		m, err := ParseMargin(text)
		if err != nil || m.String() != want {
			t.Errorf("%q: %v, %v", text, m, err)
		}
		if again, err := ParseMargin(m.String()); err != nil || again.String() != m.String() {
			t.Errorf("%q does not read back: %v", m, err)
		}
	}
	if got := DefaultMargin().Of(big.NewRat(1, 3)); got.Cmp(big.NewRat(1, 30)) != 0 {
		t.Errorf("10 %% of 1/3: %s", got)
	}
	if got := DefaultMargin().Of(big.NewRat(1, 100)); got.Cmp(big.NewRat(1, 200)) != 0 {
		t.Errorf("half a point: %s", got)
	}
	for _, text := range []string{"10", "-1%", "0%", "101%", "x%", "10%, 10%", "1%,1 point,1 point", "1e3%", "%"} {
		if m, err := ParseMargin(text); err == nil {
			t.Errorf("%q read as %v", text, m)
		}
	}
}

func TestEqualNamesTheFirstDifference(t *testing.T) {
	if r := Equal("e", []int{1, 2, 3}, []int{1, 2, 3}); r.Verdict != Pass {
		t.Error(r.Verdict, r.Reason)
	}
	if r := Equal("e", []int{1, 2, 3}, []int{1, 5}); r.Verdict != Fail || r.Equal.Differences != 2 || r.Equal.First != "entry 1: expected 2, got 5" {
		t.Error(r.Verdict, r.Reason)
	}
	if r := Equal[int]("e", nil, nil); r.Verdict != Inconclusive {
		t.Error(r.Verdict, r.Reason)
	}
	if r := Equal("e", []int{1}, []int{2}).WithDoubt("retransmissions"); r.Verdict != Inconclusive {
		t.Error(r.Verdict, r.Reason)
	}
}

func TestPlanSpendsItsRiskOnce(t *testing.T) {
	for i, want := range []float64{1, 1. / 4, 1. / 8, 1. / 16} {
		p := Plan{Alpha: 1e-6, Checks: 7, Rerun: i}
		if math.Abs(p.Risk()-want*1e-6) > 1e-20 {
			t.Errorf("rerun %d: %g", i, p.Risk())
		}
		if math.Abs(p.LogThreshold()-math.Log(7/(want*1e-6))) > 1e-12 {
			t.Errorf("rerun %d: threshold %g", i, p.LogThreshold())
		}
	}
	if p := (Plan{Alpha: 1e-6, Checks: 1, Rerun: 40}); p.RiskSum() > 1.5e-6+1e-20 {
		t.Errorf("forty reruns spend %g", p.RiskSum())
	}
	var ie *InputError
	for _, p := range []Plan{{}, {Alpha: 1, Checks: 1}, {Alpha: 0.1}, {Alpha: math.NaN(), Checks: 1}, {Alpha: 0.1, Checks: 1, Rerun: -1}} {
		if err := p.Validate(); !errors.As(err, &ie) {
			t.Errorf("%+v is accepted", p)
		}
	}
}

func TestOverall(t *testing.T) {
	of := func(vs ...Verdict) Verdict {
		var rs []Result
		for _, v := range vs {
			rs = append(rs, Result{Verdict: v})
		}
		return Overall(rs)
	}
	for _, c := range []struct{ got, want Verdict }{
		{of(), Inconclusive}, {of(Pass, Pass), Pass}, {of(Pass, Inconclusive), Inconclusive},
		{of(Pass, NotCompared), NotCompared}, {of(NotCompared, Fail, Pass), Fail}, {of(Missing("m", "no kernel").Verdict), NotCompared},
	} {
		if c.got != c.want {
			t.Errorf("got %v, want %v", c.got, c.want)
		}
	}
	for _, v := range []Verdict{NotCompared, Pass, Inconclusive, Fail} {
		text, err := v.MarshalText()
		var back Verdict
		if err != nil || back.UnmarshalText(text) != nil || back != v {
			t.Errorf("%v does not round-trip", v)
		}
	}
}
