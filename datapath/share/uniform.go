package share

import "math/big"

// Uniformity says how far shares lie from even ones, decided on integers.
type Uniformity struct {
	Uniform  bool     // every |share − 1/n| ≤ 2^-31, the grain of the kernel's probabilities
	Worst    Fraction // the greatest |share − 1/n|
	Relative []float64
}

// UniformityOf compares n shares with 1/n each. Relative holds n·share − 1 for each share: its distance from an even share,
// relative to one, rounded once.
func UniformityOf(shares []Fraction) Uniformity {
	u := Uniformity{Uniform: true}
	n := int64(len(shares))
	for _, s := range shares {
		d := s.minusEven(n)
		u.Relative = append(u.Relative, d.times(n).Float64())
		d = d.abs()
		// |d| = num/(den·2^shift) > 2^-31  ⟺  num·2^31 > den·2^shift
		if new(big.Int).Lsh(d.num, 31).Cmp(new(big.Int).Lsh(d.den, d.shift)) > 0 {
			u.Uniform = false
		}
		if u.Worst.num == nil || d.greater(u.Worst) {
			u.Worst = d
		}
	}
	return u
}

// minusEven is f − 1/n.
func (f Fraction) minusEven(n int64) Fraction {
	if f.num == nil {
		f.num, f.den = new(big.Int), big.NewInt(1)
	}
	num := new(big.Int).Mul(f.num, big.NewInt(n))
	num.Sub(num, new(big.Int).Lsh(f.den, f.shift))
	return Fraction{num: num, den: new(big.Int).Mul(f.den, big.NewInt(n)), shift: f.shift, draws: f.draws}
}

func (f Fraction) times(n int64) Fraction {
	f.num = new(big.Int).Mul(f.num, big.NewInt(n))
	return f
}

func (f Fraction) abs() Fraction {
	f.num = new(big.Int).Abs(f.num)
	return f
}

// greater compares two fractions that are not negative. Those of one chain have one denominator but for its power of two.
func (f Fraction) greater(g Fraction) bool {
	a, b := f.num, g.num
	if f.den.Cmp(g.den) != 0 {
		a, b = new(big.Int).Mul(a, g.den), new(big.Int).Mul(b, f.den)
	}
	switch {
	case f.shift < g.shift:
		a = new(big.Int).Lsh(a, g.shift-f.shift)
	case g.shift < f.shift:
		b = new(big.Int).Lsh(b, f.shift-g.shift)
	}
	return a.Cmp(b) > 0
}
