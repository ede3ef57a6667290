package check

import (
	"math"
	"math/big"
	"strings"
	"testing"
)

// bits of the reference arithmetic: enough to lose a hundred digits to the
// subtraction in bigSurvival and still have fifty.
const bits = 600

func bigOf(x float64) *big.Float { return new(big.Float).SetPrec(bits).SetFloat64(x) }

// bigExpNeg is e^-y by the series at y/2^64 squared 64 times.
func bigExpNeg(y *big.Float) *big.Float {
	small := new(big.Float).SetMantExp(y, -64)
	sum, term := bigOf(1), bigOf(1)
	for i := 1; i < 60; i++ {
		term.Mul(term, small)
		term.Quo(term, bigOf(float64(-i)))
		sum.Add(sum, term)
	}
	for range 64 {
		sum.Mul(sum, sum)
	}
	return sum
}

// bigPi is π by Machin: 16 arctan(1/5) − 4 arctan(1/239).
func bigPi() *big.Float {
	arctan := func(n float64) *big.Float {
		sum, power := bigOf(0), new(big.Float).Quo(bigOf(1), bigOf(n))
		for i := 0; i < 300; i++ {
			term := new(big.Float).Quo(power, bigOf(float64(2*i+1)))
			if i%2 == 1 {
				term.Neg(term)
			}
			sum.Add(sum, term)
			power.Quo(power, bigOf(n*n))
		}
		return sum
	}
	a, b := arctan(5), arctan(239)
	return a.Sub(a.Mul(a, bigOf(16)), b.Mul(b, bigOf(4)))
}

var pi = bigPi()

// bigSurvival is the upper tail of chi-square by its closed forms (Abramowitz and
// Stegun 26.4.4 and 26.4.5). Even df: e^-y Σ y^i/i!, i < df/2, y = x/2. Odd df:
// 1 − (2/√π) e^-y √y Σ (2y)^i/(2i+1)!!, i ≥ (df−1)/2.
func bigSurvival(x *big.Float, df int) *big.Float {
	y := new(big.Float).SetMantExp(x, -1)
	exp := bigExpNeg(y)
	sum, term := bigOf(0), bigOf(1)
	if df%2 == 0 {
		for i := 0; i < df/2; i++ {
			sum.Add(sum, term)
			term.Mul(term, y)
			term.Quo(term, bigOf(float64(i+1)))
		}
		return sum.Mul(sum, exp)
	}
	for i := 0; ; i++ {
		if i >= (df-1)/2 {
			sum.Add(sum, term)
			if term.MantExp(nil) < sum.MantExp(nil)-bits {
				break
			}
		}
		term.Mul(term, x)
		term.Quo(term, bigOf(float64(2*i+3)))
	}
	sum.Mul(sum, exp)
	sum.Mul(sum, new(big.Float).Sqrt(y))
	sum.Mul(sum, new(big.Float).Quo(bigOf(2), new(big.Float).Sqrt(pi)))
	return sum.Sub(bigOf(1), sum)
}

func relative(got float64, want *big.Float) float64 {
	d := new(big.Float).Sub(bigOf(got), want)
	f, _ := d.Quo(d, want).Float64()
	return math.Abs(f)
}

// Reference: closed forms in 600-bit arithmetic, above.
func TestSurvivalAgreesWithClosedForms(t *testing.T) {
	cases := 0
	for _, df := range []int{1, 2, 3, 4, 5, 9, 10, 31, 50, 99, 100, 999} {
		mean, sd := float64(df), math.Sqrt(2*float64(df))
		for _, z := range []float64{-1.3, -0.5, 0, 0.7, 1.6, 2.3, 3.1, 4, 5, 6, 8, 12, 20, 30} {
			x := mean + z*sd
			if x <= 0 {
				continue
			}
			want := bigSurvival(bigOf(x), df)
			tolerance := 1e-9
			if w, _ := want.Float64(); w < 1e-8 {
				tolerance = 1e-6
			}
			if e := relative(ChiSquareSurvival(x, df), want); e > tolerance {
				t.Errorf("df %d, x %g: got %g, want %.12g, off by %.2g", df, x, ChiSquareSurvival(x, df), want, e)
			}
			cases++
		}
	}
	if cases < 150 {
		t.Errorf("only %d cases", cases)
	}
}

func TestQuantileAgreesWithClosedForms(t *testing.T) {
	for _, df := range []int{1, 2, 3, 9, 10, 99, 100} {
		for _, p := range []float64{0.99, 0.5, 0.1, 0.05, 1e-3, 1e-6, 1e-8, 1e-9, 1e-12, 1e-20, 1e-40} {
			low, high := bigOf(0), bigOf(4096)
			for range 80 {
				mid := new(big.Float).Add(low, high)
				mid.SetMantExp(mid, -1)
				if bigSurvival(mid, df).Cmp(bigOf(p)) > 0 {
					low = mid
				} else {
					high = mid
				}
			}
			tolerance := 1e-9
			if p < 1e-8 {
				tolerance = 1e-6
			}
			if e := relative(ChiSquareQuantile(p, df), low); e > tolerance {
				t.Errorf("df %d, p %g: got %.12g, want %.12g, off by %.2g", df, p, ChiSquareQuantile(p, df), low, e)
			}
		}
	}
}

// Origin: NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.4, upper-tail
// critical values of chi-square, three decimals as printed.
func TestQuantileAgreesWithTheHandbook(t *testing.T) {
	levels := []float64{0.10, 0.05, 0.025, 0.01, 0.001}
	for df, row := range map[int][]float64{
		1:   {2.706, 3.841, 5.024, 6.635, 10.828},
		2:   {4.605, 5.991, 7.378, 9.210, 13.816},
		3:   {6.251, 7.815, 9.348, 11.345, 16.266},
		10:  {15.987, 18.307, 20.483, 23.209, 29.588},
		100: {118.498, 124.342, 129.561, 135.807, 149.449},
	} {
		for i, want := range row {
			if got := ChiSquareQuantile(levels[i], df); math.Abs(got-want) > 0.00051 {
				t.Errorf("df %d, level %g: got %.4f, want %.3f", df, levels[i], got, want)
			}
			if got := ChiSquareSurvival(want, df); math.Abs(got-levels[i]) > 2e-3*levels[i] {
				t.Errorf("df %d, x %.3f: got %g, want %g", df, want, got, levels[i])
			}
		}
	}
}

// Expectations by hand: (55−50)²/50·2 = 1; G = 2(55 ln 1.1 + 45 ln 0.9).
func TestFamiliarByHand(t *testing.T) {
	f := FamiliarTests(tallies(tally(even(t, 2), 55, 45)))
	if math.Abs(f.ChiSquare-1) > 1e-12 || math.Abs(f.ChiSquareP-0.31731050786291415) > 1e-12 {
		t.Errorf("chi-square %v, p %v", f.ChiSquare, f.ChiSquareP) // p of one sigma, two-sided
	}
	if want := 2 * (55*math.Log(1.1) + 45*math.Log(0.9)); math.Abs(f.G-want) > 1e-12 || f.DegreesOfFreedom != 1 {
		t.Errorf("G %v, want %v; df %d", f.G, want, f.DegreesOfFreedom)
	}
}

func TestSmallCellsArePooled(t *testing.T) {
	for _, c := range []struct {
		shares      []string
		counts      []int64
		df, pooled  int
		meaningless string
	}{
		// 4 and 4 expected make a cell of 8.
		{[]string{"1/25", "1/25", "23/25"}, []int64{5, 3, 92}, 1, 2, ""},
		// 1 and 2 expected stay below 5 and join the 27.
		{[]string{"1/100", "2/100", "27/100", "70/100"}, []int64{1, 2, 27, 70}, 1, 3, ""},
		// 1 and 99: nothing to compare when joined.
		{[]string{"1/100", "99/100"}, []int64{0, 100}, 0, 2, "fewer than two cells"},
		// four cells of 2 expected each are one cell of 8.
		{[]string{"1/4", "1/4", "1/4", "1/4"}, []int64{2, 2, 2, 2}, 0, 4, "fewer than two cells"},
		// a cell that no draw can reach is no cell.
		{[]string{"1/2", "1/2", "0"}, []int64{50, 50, 0}, 1, 0, ""},
	} {
		f := FamiliarTests(tallies(tally(epoch(t, c.shares...), c.counts...)))
		if f.DegreesOfFreedom != c.df || f.Pooled != c.pooled || !strings.Contains(f.Meaningless, c.meaningless) || (c.meaningless == "") != (f.Meaningless == "") {
			t.Errorf("%v: got %+v", c.shares, f)
		}
	}
	if f := FamiliarTests(tallies(tally(epoch(t, "1", "0"), 5, 1))); f.Meaningless == "" {
		t.Error("an impossible outcome has a chi-square")
	}
}
