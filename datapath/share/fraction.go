package share

import (
	"math/big"
	"strings"
)

// Fraction is a probability: num / (den * 2^shift). Statistic rules make denominators powers of two, which shift keeps apart so
// that a product of hundreds of draws stays cheap. The zero value is 0. Fractions are immutable.
type Fraction struct {
	num, den *big.Int
	shift    uint
	draws    int // most draws on any path added up here
}

// times31 multiplies by n/2^31.
func (f Fraction) times31(n uint32) Fraction {
	return Fraction{num: new(big.Int).Mul(f.num, big.NewInt(int64(n))), den: f.den, shift: f.shift + 31, draws: f.draws + 1}
}

// over divides by n.
func (f Fraction) over(n int64) Fraction {
	return Fraction{num: f.num, den: new(big.Int).Mul(f.den, big.NewInt(n)), shift: f.shift, draws: f.draws + 1}
}

// Add returns f + g.
func (f Fraction) Add(g Fraction) Fraction {
	if f.num == nil {
		return g
	}
	if g.num == nil {
		return f
	}
	if f.shift > g.shift {
		f, g = g, f
	}
	// f has the smaller shift: bring it to g's.
	fn := new(big.Int).Lsh(f.num, g.shift-f.shift)
	den, gn := f.den, g.num
	if f.den.Cmp(g.den) != 0 {
		fn.Mul(fn, g.den)
		gn = new(big.Int).Mul(g.num, f.den)
		den = new(big.Int).Mul(f.den, g.den)
	}
	return Fraction{num: fn.Add(fn, gn), den: den, shift: g.shift, draws: max(f.draws, g.draws)}
}

// Rat returns the value in lowest terms.
func (f Fraction) Rat() *big.Rat {
	if f.num == nil {
		return new(big.Rat)
	}
	num, shift := f.num, f.shift
	if z := num.TrailingZeroBits(); z > 0 && shift > 0 {
		z = min(z, shift)
		num, shift = new(big.Int).Rsh(num, z), shift-z
	}
	return new(big.Rat).SetFrac(num, new(big.Int).Lsh(f.den, shift))
}

// Draws is the largest number of draws on any path that adds to the fraction.
func (f Fraction) Draws() int { return f.draws }

// MaxExactDraws is the number of draws up to which a share is printed as a fraction.
const MaxExactDraws = 64

// String prints the fraction in lowest terms ("1" when certain); with more than MaxExactDraws draws, 40 significant digits.
func (f Fraction) String() string {
	if f.draws > MaxExactDraws {
		return f.Decimal(40)
	}
	return f.Rat().RatString()
}

// IsExact reports whether String prints the exact value.
func (f Fraction) IsExact() bool { return f.draws <= MaxExactDraws }

// Decimal prints the value with the given number of significant digits, trailing zeros removed.
func (f Fraction) Decimal(digits int) string {
	if f.num == nil || f.num.Sign() == 0 {
		return "0"
	}
	prec := uint(digits)*4 + 64
	x := new(big.Float).SetPrec(prec).SetInt(f.num)
	x.Quo(x, new(big.Float).SetPrec(prec).SetInt(f.den))
	x.SetMantExp(x, -int(f.shift))
	s := x.Text('g', digits)
	if strings.Contains(s, ".") && !strings.ContainsAny(s, "e") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// Float64 is the nearest float64, for display and plots only.
func (f Fraction) Float64() float64 {
	if f.num == nil {
		return 0
	}
	x := new(big.Float).SetPrec(128).SetInt(f.num)
	x.Quo(x, new(big.Float).SetPrec(128).SetInt(f.den))
	x.SetMantExp(x, -int(f.shift))
	v, _ := x.Float64()
	return v
}
