package check

import (
	"fmt"
	"testing"

	"github.com/svclab/svclab/sim/measure"
)

func BenchmarkProcessAdd(b *testing.B) {
	for _, k := range []int{3, 10, 100} {
		b.Run(fmt.Sprintf("k=%d", k), func(b *testing.B) {
			p := NewProcess(NewPlan(1), []measure.Epoch{even(b, k)})
			cells := make([]int, 1<<16)
			d := newDrawer(1, evenFloats(k)...)
			for i := range cells {
				cells[i] = d.draw()
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				p.Add(0, cells[i&(1<<16-1)])
				i++
			}
		})
	}
}

func BenchmarkLogE(b *testing.B) {
	for _, k := range []int{3, 100, 1000} {
		b.Run(fmt.Sprintf("k=%d", k), func(b *testing.B) {
			x := []*measure.Tally{multinomial(even(b, k), 1, 100000)}
			for b.Loop() {
				LogE(x)
			}
		})
	}
}
