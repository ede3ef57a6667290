package measure

import (
	"fmt"
	"math/big"
)

// Cell is one possible outcome of a draw and its exact share.
type Cell struct {
	Outcome Outcome
	Share   *big.Rat // 0 … 1; 0 says that this outcome must never be seen
}

// Epoch is a stretch with one rule set: every draw in it has these shares.
// Make one with NewEpoch; the zero value has no cells and accepts no draw.
type Epoch struct {
	Name  string
	Cells []Cell
}

// sumTolerance allows for shares cut to 40 significant digits (chains of more
// than 64 draws); it is far below what any number of draws can notice.
var sumTolerance = new(big.Rat).SetFrac(big.NewInt(1), new(big.Int).Lsh(big.NewInt(1), 100))

// NewEpoch checks that the cells are a distribution: at least one, none twice,
// no negative share, sum 1 (within 2^-100). The error is an *EpochError.
func NewEpoch(name string, cells []Cell) (Epoch, error) {
	if len(cells) == 0 {
		return Epoch{}, &EpochError{name, "no outcome is possible"}
	}
	sum := new(big.Rat)
	seen := make(map[Outcome]bool, len(cells))
	for _, c := range cells {
		switch {
		case c.Outcome.Kind == KindUnknown:
			return Epoch{}, &EpochError{name, "an outcome without a kind"}
		case seen[c.Outcome]:
			return Epoch{}, &EpochError{name, fmt.Sprintf("%q stands twice", c.Outcome)}
		case c.Share == nil:
			return Epoch{}, &EpochError{name, fmt.Sprintf("%q has no share", c.Outcome)}
		case c.Share.Sign() < 0:
			return Epoch{}, &EpochError{name, fmt.Sprintf("%q has the negative share %s", c.Outcome, c.Share.RatString())}
		}
		seen[c.Outcome] = true
		sum.Add(sum, c.Share)
	}
	off := new(big.Rat).Sub(sum, big.NewRat(1, 1))
	if off.Abs(off).Cmp(sumTolerance) > 0 {
		return Epoch{}, &EpochError{name, fmt.Sprintf("the shares add up to %s, not to 1", sum.RatString())}
	}
	return Epoch{Name: name, Cells: cells}, nil
}

// Possible returns how many cells have a share above zero: k of the statistics.
func (e Epoch) Possible() int {
	k := 0
	for _, c := range e.Cells {
		if c.Share.Sign() > 0 {
			k++
		}
	}
	return k
}

// Index returns the cell of an outcome, or false.
func (e Epoch) Index(o Outcome) (int, bool) {
	for i, c := range e.Cells {
		if c.Outcome == o {
			return i, true
		}
	}
	return 0, false
}

// Equal says whether both have the same outcomes in the same order with equal shares.
func (e Epoch) Equal(f Epoch) bool {
	if len(e.Cells) != len(f.Cells) {
		return false
	}
	for i, c := range e.Cells {
		d := f.Cells[i]
		if c.Outcome != d.Outcome || c.Share.Cmp(d.Share) != 0 {
			return false
		}
	}
	return true
}
