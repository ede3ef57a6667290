package check

import (
	"math"
	"math/big"
)

// UniformShares says whether every |share − 1/n| ≤ 2^-31, decided on integers,
// and how far the worst share lies off.
func UniformShares(shares []*big.Rat) (uniform bool, maxDeviation *big.Rat) {
	maxDeviation = new(big.Rat)
	if len(shares) == 0 {
		return false, maxDeviation
	}
	want := big.NewRat(1, int64(len(shares)))
	for _, s := range shares {
		if d := new(big.Rat).Sub(s, want); d.Abs(d).Cmp(maxDeviation) > 0 {
			maxDeviation = d
		}
	}
	return maxDeviation.Cmp(shareTolerance) <= 0, maxDeviation
}

// SamplesToNotice is ln(10^6)/KL(share ‖ uniform): about how many connections it
// takes before a best wager against uniform shares is worth a million. It is
// false when the shares are exactly equal: then no number is enough.
//
// With share = (1+d)/n, and Σd = 0, KL = 1/n Σ ((1+d)ln(1+d) − d): a sum of terms
// that are never negative, so that a deviation of 2^-31 keeps all its digits
// where Σ s·ln(s·n) would cancel to noise. Each d is a fraction until it is rounded once.
func SamplesToNotice(shares []*big.Rat) (float64, bool) {
	n := new(big.Rat).SetInt64(int64(len(shares)))
	one := big.NewRat(1, 1)
	var sum float64
	for _, s := range shares {
		d := new(big.Rat).Mul(s, n)
		f, _ := d.Sub(d, one).Float64()
		sum += excess(f)
	}
	if sum == 0 {
		return 0, false
	}
	return math.Log(1e6) / (sum / float64(len(shares))), true
}

// excess is (1+d)ln(1+d) − d for d ≥ −1, by its series d²/2 − d³/6 + d⁴/12 − …
// near 0.
func excess(d float64) float64 {
	switch {
	case d <= -1:
		return 1
	case math.Abs(d) > 0.1:
		return (1+d)*math.Log1p(d) - d
	}
	sum, power := 0.0, d*d
	for j := 2.0; j < 40; j++ {
		term := power / (j * (j - 1))
		if sum+term == sum {
			break
		}
		sum += term
		power *= -d
	}
	return sum
}
