package check

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/svclab/svclab/sim/measure"
)

func endpoint(i int) measure.Outcome {
	return measure.Backend(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 244, byte(i >> 8), byte(i)}), 80))
}

// epoch makes an epoch whose shares are written as "1/3".
func epoch(t testing.TB, shares ...string) measure.Epoch {
	t.Helper()
	var cells []measure.Cell
	for i, s := range shares {
		r, ok := new(big.Rat).SetString(s)
		if !ok {
			t.Fatalf("share %q", s)
		}
		cells = append(cells, measure.Cell{Outcome: endpoint(i + 1), Share: r})
	}
	e, err := measure.NewEpoch(fmt.Sprint(shares), cells)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func even(t testing.TB, k int) measure.Epoch {
	t.Helper()
	shares := make([]string, k)
	for i := range shares {
		shares[i] = fmt.Sprintf("1/%d", k)
	}
	return epoch(t, shares...)
}

func tallies(list ...*measure.Tally) []*measure.Tally { return list }

func tally(e measure.Epoch, counts ...int64) *measure.Tally {
	t := measure.NewTally(e)
	copy(t.Counts, counts)
	return t
}

// drawer picks cells with given shares; its randomness is a seeded stream.
type drawer struct {
	rng *rand.Rand
	cum []float64
}

func newDrawer(seed uint64, shares ...float64) *drawer {
	d := &drawer{rng: rand.New(rand.NewPCG(seed, 0x5eed))}
	d.set(shares)
	return d
}

func (d *drawer) set(shares []float64) {
	d.cum = d.cum[:0]
	sum := 0.0
	for _, s := range shares {
		sum += s
		d.cum = append(d.cum, sum)
	}
}

func (d *drawer) draw() int {
	u := d.rng.Float64()
	for i, c := range d.cum {
		if u < c {
			return i
		}
	}
	return len(d.cum) - 1
}

func (d *drawer) counts(n int) []int64 {
	counts := make([]int64, len(d.cum))
	for range n {
		counts[d.draw()]++
	}
	return counts
}

func evenFloats(k int) []float64 {
	s := make([]float64, k)
	for i := range s {
		s[i] = 1 / float64(k)
	}
	return s
}
