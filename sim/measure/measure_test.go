package measure

import (
	"errors"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func at(s string) Outcome { return Backend(netip.MustParseAddrPort(s)) }

func TestNewEpochRefuses(t *testing.T) {
	a, b := at("10.0.0.1:80"), at("[fd00::1]:80")
	for _, c := range []struct {
		cells []Cell
		want  string
	}{
		{nil, "no outcome"},
		{[]Cell{{a, big.NewRat(1, 2)}}, "add up to 1/2"},
		{[]Cell{{a, big.NewRat(1, 2)}, {a, big.NewRat(1, 2)}}, "stands twice"},
		{[]Cell{{a, big.NewRat(3, 2)}, {b, big.NewRat(-1, 2)}}, "negative"},
		{[]Cell{{a, nil}}, "no share"},
		{[]Cell{{Outcome{}, big.NewRat(1, 1)}}, "without a kind"},
	} {
		_, err := NewEpoch("e", c.cells)
		var e *EpochError
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %q", c.cells, err, c.want)
		}
	}
	e, err := NewEpoch("e", []Cell{{a, big.NewRat(1, 3)}, {b, big.NewRat(2, 3)}, {Timeout(), new(big.Rat)}})
	if err != nil || e.Possible() != 2 {
		t.Errorf("a distribution: %v, %d possible", err, e.Possible())
	}
}

func TestTallyMerges(t *testing.T) {
	a, b := at("10.0.0.1:80"), at("10.0.0.2:80")
	half := []Cell{{a, big.NewRat(1, 2)}, {b, big.NewRat(1, 2)}}
	e, _ := NewEpoch("e", half)
	x, y := NewTally(e), NewTally(e)
	x.AddOutcome(a)
	x.AddOutcome(Refused())
	y.Add(1)
	y.AddOutcome(Refused())
	if err := x.Merge(y); err != nil {
		t.Fatal(err)
	}
	if x.Counts[0] != 1 || x.Counts[1] != 1 || x.Other[Refused()] != 2 || x.N() != 4 {
		t.Errorf("got %v %v", x.Counts, x.Other)
	}
	f, _ := NewEpoch("f", []Cell{{a, big.NewRat(1, 3)}, {b, big.NewRat(2, 3)}})
	var me *MergeError
	if err := x.Merge(NewTally(f)); !errors.As(err, &me) {
		t.Errorf("epochs of different shares merged: %v", err)
	}
}

// Expectations: arithmetic on 1…1000 by nearest rank.
func TestTrendStatistics(t *testing.T) {
	whole, left, right := NewDurations("d"), NewDurations("d"), NewDurations("d")
	for i := 1000; i >= 1; i-- {
		d := time.Duration(i) * time.Millisecond
		whole.AddDuration(d)
		if i%3 == 0 {
			left.AddDuration(d)
		} else {
			right.AddDuration(d)
		}
	}
	if err := left.Merge(right); err != nil {
		t.Fatal(err)
	}
	for stat, want := range map[string]*big.Rat{
		"avg": big.NewRat(1001*500000, 1), "min": big.NewRat(1e6, 1), "max": big.NewRat(1e9, 1),
		"count": big.NewRat(1000, 1), "med": big.NewRat(500e6, 1),
		"p(99)": big.NewRat(990e6, 1), "p(99.95)": big.NewRat(1e9, 1), "p(0)": big.NewRat(1e6, 1),
	} {
		s, err := ParseStat(stat)
		if err != nil {
			t.Fatal(err)
		}
		if s.String() != stat {
			t.Errorf("%s prints as %s", stat, s)
		}
		for _, m := range []*Trend{whole, left} {
			got, err := m.Stat(s)
			if err != nil {
				t.Fatal(err)
			}
			// values of 500 ms and more share buckets of 2^19 ns: within 1 in 1024
			diff := new(big.Rat).Sub(got, want)
			if diff.Abs(diff).Cmp(new(big.Rat).Quo(want, big.NewRat(1024, 1))) > 0 {
				t.Errorf("%s: got %s, want %s", stat, got, want)
			}
		}
	}
	if err := whole.Merge(NewNumbers("n", UnitCount)); err == nil {
		// an empty trend of another unit is still another unit
		t.Error("durations merged with numbers")
	}
}

func TestStatRefuses(t *testing.T) {
	for _, text := range []string{"", "p()", "p(101)", "p(-1)", "p(1e9)", "p99", "median", "p(1/3)"} {
		if s, err := ParseStat(text); err == nil {
			t.Errorf("%q read as %v", text, s)
		}
	}
	var se *StatError
	if _, err := NewCounter("c").Stat(Stat{Name: "avg"}); !errors.As(err, &se) {
		t.Errorf("a counter has an average: %v", err)
	}
	if _, err := NewRate("r").Stat(Stat{Name: "rate"}); !errors.As(err, &se) {
		t.Errorf("a rate of nothing: %v", err)
	}
}

func TestDrawsKeepEqualEpochsTogether(t *testing.T) {
	a, b := at("10.0.0.1:80"), at("10.0.0.2:80")
	mk := func(name string, x, y int64) Epoch {
		e, err := NewEpoch(name, []Cell{{a, big.NewRat(x, x+y)}, {b, big.NewRat(y, x+y)}})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	var d, other Draws
	d.Begin(mk("before", 1, 1)).Add(0)
	d.Begin(mk("between", 1, 2)).Add(1)
	d.Begin(mk("after", 2, 2)).Add(1)
	other.Begin(mk("elsewhere", 1, 2)).Add(0)
	if err := d.Merge(&other); err != nil {
		t.Fatal(err)
	}
	if len(d.Tallies) != 2 || d.N() != 4 || d.Tallies[0].N() != 2 || d.Tallies[1].Counts[0] != 1 {
		t.Errorf("got %d tallies, %d draws", len(d.Tallies), d.N())
	}
}

func TestOutcomeOrderAndNames(t *testing.T) {
	v6 := at("[fd00::1]:80")
	for o, want := range map[Outcome]string{
		v6: "[fd00::1]:80", OnNode("n1"): "n1", Refused(): "refused", Timeout(): "timeout", {}: "unknown",
		{Kind: KindBackend, Endpoint: netip.MustParseAddrPort("10.0.0.1:80"), Node: "n1"}: "10.0.0.1:80@n1",
	} {
		if o.String() != want {
			t.Errorf("%+v prints as %s", o, o)
		}
	}
	if at("10.0.0.2:80").Compare(at("10.0.0.10:80")) >= 0 || Refused().Compare(v6) <= 0 {
		t.Error("outcomes are ordered by kind, then by address as a number")
	}
}
