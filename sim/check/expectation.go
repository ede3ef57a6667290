package check

import (
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/svclab/svclab/sim/measure"
)

// shareTolerance is 2^-31: the kernel keeps a probability as a 31-bit integer
// (net/netfilter/xt_statistic.c), so no chain of statistic rules can promise more.
var shareTolerance = big.NewRat(1, 1<<31)

// Weight is one backend's part in an expectation.
type Weight struct {
	Outcome measure.Outcome
	Weight  *big.Rat // a share, or a weight relative to the others
}

// Expectation is what a chain's fractions are held against. The zero value
// expects uniform shares over the backends of the epoch.
type Expectation struct {
	Weights []Weight          // explicit shares; empty for uniform
	Among   []measure.Outcome // uniform over exactly these; empty for the backends of the epoch
}

// Uniform expects equal shares over the given backends; with none given, over
// all backends that the epoch lists.
func Uniform(among ...measure.Outcome) Expectation { return Expectation{Among: among} }

// Explicit expects these shares. Weights that add up to 1 are shares; whole
// numbers that do not are weights and are divided by their sum; anything else is
// an *InputError.
func Explicit(weights []Weight) (Expectation, error) {
	sum, whole := new(big.Rat), true
	var text []string
	for _, w := range weights {
		text = append(text, w.Outcome.String()+"="+w.Weight.RatString())
		if w.Weight.Sign() < 0 {
			return Expectation{}, &InputError{"expectation", text[len(text)-1], "must not be negative"}
		}
		sum.Add(sum, w.Weight)
		whole = whole && w.Weight.IsInt()
	}
	input := strings.Join(text, " ")
	switch {
	case sum.Sign() == 0:
		return Expectation{}, &InputError{"expectation", input, "no backend has a share"}
	case sum.Cmp(big.NewRat(1, 1)) == 0:
		return Expectation{Weights: weights}, nil
	case !whole:
		return Expectation{}, &InputError{"expectation", input, "the shares add up to " + sum.RatString() + ", not to 1"}
	}
	scaled := make([]Weight, len(weights))
	for i, w := range weights {
		scaled[i] = Weight{w.Outcome, new(big.Rat).Quo(w.Weight, sum)}
	}
	return Expectation{Weights: scaled}, nil
}

// ParseShare reads one weight of an expectation: "1/3", "25%", "0.25" or "2".
// The error is an *InputError.
func ParseShare(text string) (*big.Rat, error) {
	t := strings.TrimSpace(text)
	percent := strings.HasSuffix(t, "%")
	num, den, fraction := strings.Cut(strings.TrimSpace(strings.TrimSuffix(t, "%")), "/")
	v, err := parseDecimal(strings.TrimSpace(num))
	if err == nil && fraction {
		var d *big.Rat
		if d, err = parseDecimal(strings.TrimSpace(den)); err == nil && d.Sign() == 0 {
			err = fmt.Errorf("divides by zero")
		}
		if err == nil {
			v.Quo(v, d)
		}
	}
	if err != nil {
		return nil, &InputError{"share", text, err.Error()}
	}
	if percent {
		v.Quo(v, big.NewRat(100, 1))
	}
	return v, nil
}

// ExactFinding is the exact half of a shares check: no chance in it.
type ExactFinding struct {
	Holds        bool
	Uniform      bool     // the expectation was uniform
	MaxDeviation *big.Rat // greatest |share − expected| over all epochs
	Where        measure.Outcome
	Epoch        string
	Reason       string
}

// Exact holds the shares of each epoch against the expectation: every
// |share − expected| ≤ 2^-31, decided on fractions. A backend missing from the
// chain counts as share 0, one too many as expected 0.
func (x Expectation) Exact(epochs []measure.Epoch) ExactFinding {
	f := ExactFinding{Holds: true, Uniform: len(x.Weights) == 0, MaxDeviation: new(big.Rat)}
	var share, want *big.Rat
	for _, e := range epochs {
		for _, w := range x.over(e) {
			s := new(big.Rat)
			if i, ok := e.Index(w.Outcome); ok {
				s = e.Cells[i].Share
			}
			d := new(big.Rat).Sub(s, w.Weight)
			if d.Abs(d).Cmp(f.MaxDeviation) > 0 {
				f.MaxDeviation, f.Where, f.Epoch, share, want = d, w.Outcome, e.Name, s, w.Weight
			}
		}
	}
	f.Holds = f.MaxDeviation.Cmp(shareTolerance) <= 0
	switch {
	case f.Holds && f.MaxDeviation.Sign() == 0:
		f.Reason = "the rules give exactly the expected shares"
	case f.Holds:
		f.Reason = fmt.Sprintf("the rules give the expected shares to within %s, below 2^-31", f.MaxDeviation.RatString())
	default:
		f.Reason = fmt.Sprintf("the rules give %s the share %s, expected %s", f.Where, share.RatString(), want.RatString())
		if f.Epoch != "" {
			f.Reason += " (" + f.Epoch + ")"
		}
	}
	return f
}

// over lists the expected share of every outcome of the epoch and of every
// outcome that the expectation names.
func (x Expectation) over(e measure.Epoch) []Weight {
	want := slices.Clone(x.Weights)
	if len(want) == 0 {
		among := x.Among
		if len(among) == 0 {
			among = backends(e)
		}
		for _, o := range among {
			want = append(want, Weight{o, big.NewRat(1, int64(len(among)))})
		}
	}
	named := make(map[measure.Outcome]bool, len(want))
	for _, w := range want {
		named[w.Outcome] = true
	}
	for _, c := range e.Cells {
		if !named[c.Outcome] {
			want = append(want, Weight{c.Outcome, new(big.Rat)})
		}
	}
	return want
}

func backends(e measure.Epoch) []measure.Outcome {
	var list []measure.Outcome
	for _, c := range e.Cells {
		if c.Outcome.Kind == measure.KindBackend {
			list = append(list, c.Outcome)
		}
	}
	return list
}
