package seed

import (
	"testing"

	"github.com/svclab/svclab/datapath/netfilter"
)

var (
	_ netfilter.Source = (*Stream)(nil)
	_ netfilter.Source = (*Keyed)(nil)
)

// Asking for another stream in between changes nothing, and names are told apart.
func TestStreamsAreIndependent(t *testing.T) {
	a, b := Root(7).Stream("arrivals"), Root(7).Stream("arrivals")
	other := Root(7).Stream("picks")
	same := 0
	for range 1000 {
		x := a.Uint64()
		if other.Uint64() == x {
			same++
		}
		if y := b.Uint64(); x != y {
			t.Fatalf("the same name gave %x and %x", x, y)
		}
	}
	if same > 0 {
		t.Errorf("%d of 1000 words of two names are equal", same)
	}
	if Root(7).Stream("arrivals").Uint64() == Root(8).Stream("arrivals").Uint64() {
		t.Error("two roots begin with the same word")
	}
}

// A flow's draws do not depend on which flows were asked for before.
func TestKeyedDoesNotDependOnOrder(t *testing.T) {
	k := Root(1).Keyed("picks")
	first := map[uint64]uint32{}
	for i := range uint64(100) {
		k.At(i)
		first[i] = k.Word()
	}
	for i := uint64(100); i > 0; i-- {
		k.At(i - 1)
		if w := k.Word(); w != first[i-1] {
			t.Fatalf("flow %d drew %x first and %x later", i-1, first[i-1], w)
		}
	}
}

// First words of neighbouring flows are as good as independent: the count below 1/3 stays within six standard deviations
// of binomial(300000, 1/3), sd = 258.2; a source with correlated starts is off by thousands.
func TestKeyedFirstWordsAreEven(t *testing.T) {
	k := Root(3).Keyed("picks")
	hits, pairs := 0, 0
	last := false
	for i := range uint64(300000) {
		k.At(i)
		hit := k.Chance(715827883)
		if hit {
			hits++
			if last {
				pairs++
			}
		}
		last = hit
	}
	if d := hits - 100000; d < -1550 || d > 1550 {
		t.Errorf("%d of 300000 below one third", hits)
	}
	// pairs of successive hits: expectation 33333, sd about 190 by the same argument.
	if d := pairs - 33333; d < -1400 || d > 1400 {
		t.Errorf("%d successive hits, 33333 expected", pairs)
	}
}
