package share

import (
	"math"
	"testing"
)

func fractions(ps ...uint32) []Fraction {
	var out []Fraction
	index := map[int]int{}
	_ = Enumerate(chain(ps...), func(p Path[int]) bool {
		if i, ok := index[p.Result]; ok {
			out[i] = out[i].Add(p.Probability)
			return true
		}
		index[p.Result] = len(out)
		out = append(out, p.Probability)
		return true
	})
	return out
}

// Arithmetic: 715827883/2^31 − 1/3 = (3·715827883 − 2^31)/(3·2^31) = 1/(3·2^31); the others are half as far off.
func TestUniformity(t *testing.T) {
	u := UniformityOf(fractions(third, half))
	if !u.Uniform || u.Worst.String() != "1/6442450944" {
		t.Errorf("1/3, 1/2, rest: uniform %v, worst %s", u.Uniform, u.Worst)
	}
	if want := math.Ldexp(1, -31); math.Abs(u.Relative[0]-want) > 1e-24 || math.Abs(u.Relative[1]+want/2) > 1e-24 {
		t.Errorf("relative %v", u.Relative)
	}
	// 1/3, 1/3, rest: the last gets 4/9 and a little, 1/9 too much.
	u = UniformityOf(fractions(third, third))
	if u.Uniform || math.Abs(u.Worst.Float64()-1.0/9) > 1e-9 {
		t.Errorf("1/3, 1/3, rest: uniform %v, worst %s", u.Uniform, u.Worst)
	}
	// One half exactly.
	if u = UniformityOf(fractions(half)); !u.Uniform || u.Worst.Float64() != 0 || u.Relative[0] != 0 {
		t.Errorf("1/2, rest: %+v", u)
	}
}
