package share

import (
	"errors"
	"math/big"
	"testing"
)

// third, half and the rest as kube-proxy writes them, in units of 1/2^31.
const third, half = 715827883, 1 << 30

func chain(ps ...uint32) func(Source) int {
	return func(s Source) int {
		for i, p := range ps {
			if s.Chance(p) {
				return i
			}
		}
		return len(ps)
	}
}

func sums[T comparable](t *testing.T, walk func(Source) T) map[T]Fraction {
	t.Helper()
	out := map[T]Fraction{}
	if err := Enumerate(walk, func(p Path[T]) bool {
		out[p.Result] = out[p.Result].Add(p.Probability)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// Arithmetic: (2^31-715827883)/2 = 715827882.5, so the two later Pods get 1431655765/2^32 each.
func TestThreeEndpoints(t *testing.T) {
	got := sums(t, chain(third, half))
	for i, want := range []string{"715827883/2147483648", "1431655765/4294967296", "1431655765/4294967296"} {
		if got[i].String() != want {
			t.Errorf("endpoint %d: %s, want %s", i, got[i], want)
		}
	}
}

// Certain draws do not fork and multiply by nothing.
func TestCertainDraws(t *testing.T) {
	got := sums(t, chain(0, 1<<31, half))
	if len(got) != 1 || got[1].String() != "1" || got[1].Draws() != 0 {
		t.Errorf("got %v", got)
	}
}

// A plain chain's shares are the product written out by hand: p_i times the product of (1 - p_j) before it. For every n up
// to 12, with uneven probabilities; and they add up to one.
func TestPlainChainIsTheProduct(t *testing.T) {
	for n := 1; n <= 12; n++ {
		ps := make([]uint32, n-1)
		for i := range ps {
			ps[i] = uint32(uint64(i*i+3) * (1 << 31) / uint64(n*n+7))
		}
		got := sums(t, chain(ps...))
		rest, total := big.NewRat(1, 1), new(big.Rat)
		for i := range n {
			want := new(big.Rat).Set(rest)
			if i < n-1 {
				p := big.NewRat(int64(ps[i]), 1<<31)
				want.Mul(rest, p)
				rest.Mul(rest, new(big.Rat).Sub(big.NewRat(1, 1), p))
			}
			if got[i].Rat().Cmp(want) != 0 {
				t.Errorf("n=%d endpoint %d: %s, want %s", n, i, got[i], want)
			}
			total.Add(total, got[i].Rat())
		}
		if total.Cmp(big.NewRat(1, 1)) != 0 {
			t.Errorf("n=%d: shares add up to %s", n, total)
		}
	}
}

// Uniform draws multiply the denominator, and nest with probability draws: 1/2 + 1/2·1/3 for outcome 0.
func TestUniformDraws(t *testing.T) {
	got := sums(t, func(s Source) int {
		if s.Chance(half) {
			return 0
		}
		return s.Intn(3)
	})
	for i, want := range []string{"2/3", "1/6", "1/6"} {
		if got[i].String() != want {
			t.Errorf("outcome %d: %s, want %s", i, got[i], want)
		}
	}
}

// Beyond 64 draws a share is printed as a decimal: 2^-70 here.
func TestManyDrawsPrintDecimal(t *testing.T) {
	ps := make([]uint32, 70)
	for i := range ps {
		ps[i] = half
	}
	got := sums(t, chain(ps...))
	if f := got[70]; f.IsExact() || f.String() != "8.470329472543003390683225006796419620514e-22" {
		t.Errorf("2^-70 printed as %s, exact %v", f, f.IsExact())
	}
	if f := got[0]; !f.IsExact() || f.String() != "1/2" {
		t.Errorf("1/2 printed as %s", f)
	}
}

func TestScriptRepeatsAPath(t *testing.T) {
	walk := chain(third, half, 12345)
	err := Enumerate(walk, func(p Path[int]) bool {
		if again := walk(&Script{Decisions: p.Decisions()}); again != p.Result {
			t.Errorf("path to %d repeated to %d", p.Result, again)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Independent draws multiply; more outcomes than the bound is an error, not a hang.
func TestTooManyPaths(t *testing.T) {
	err := Enumerate(func(s Source) int {
		for range 40 {
			s.Chance(half)
		}
		return 0
	}, func(Path[int]) bool { return true })
	var many *TooManyPathsError
	if !errors.As(err, &many) {
		t.Fatalf("got %v", err)
	}
}

func BenchmarkPlainChain1000(b *testing.B) {
	ps := make([]uint32, 999)
	for i := range ps {
		ps[i] = uint32((1<<31 + int64(1000-i)/2) / int64(1000-i))
	}
	for b.Loop() {
		out := make([]Fraction, 1000)
		if err := Enumerate(chain(ps...), func(p Path[int]) bool { out[p.Result] = p.Probability; return true }); err != nil {
			b.Fatal(err)
		}
	}
}
