package curve

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/svclab/svclab/sim/kernel"
)

// bench is a kernel with the Services of one size, ready to be visited.
type bench struct {
	kernel *kernel.Kernel
	load   *load
	point  Point
}

// newBench starts a kernel and loads it. An error is a box.MissingError where the machine lacks something.
func newBench(ctx context.Context, s Series, n int) (*bench, error) {
	k, err := kernel.Start(ctx, kernel.Config{
		Vehicle: s.Vehicle, Variant: s.Variant,
		Topology: kernel.Topology{NodeAddrs: []netip.Addr{nodeIP}, LocalPods: []netip.Prefix{pods}},
	})
	if err != nil {
		return nil, err
	}
	b := &bench{kernel: k, point: Point{Services: n}}
	if b.load, err = compile(n, s.Mode, s.Variant, "6.1"); err != nil {
		b.close()
		return nil, err
	}
	b.point.FirstRules, b.point.LastRules = b.load.firstRules, b.load.lastRules
	begin := time.Now()
	if err := k.Apply(ctx, b.load.full); err != nil {
		b.close()
		return nil, err
	}
	b.point.FullUpdate = time.Since(begin)
	return b, nil
}

func (b *bench) close() { b.kernel.Close() }

// visit times blocks of connections to the first and the last Service, in the order given. What was measured on another bench
// has left its own rules in the caches: a block to each goes first and counts for nothing.
func (b *bench) visit(ctx context.Context, order []int, connects int) error {
	q := kernel.Timing{
		Client: client, Targets: []netip.AddrPort{clusterIP(b.load.first + 1), clusterIP(b.load.last + 1)},
		Order: append([]int{toFirst, toLast}, order...), Connects: connects,
	}
	for i := range endpoints {
		q.Listen = append(q.Listen, endpoint(i))
	}
	blocks, err := b.kernel.Time(ctx, q)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil || len(blocks) != len(q.Order) {
		return err
	}
	var v visit
	for _, t := range blocks[2:] {
		if t.Failed > 0 {
			b.point.Failed++
			continue
		}
		v[t.Target] = append(v[t.Target], t.PerConnect)
	}
	b.point.visits = append(b.point.visits, v)
	return nil
}

// enough is an error where more than one block in ten had connections that failed.
func (b *bench) enough() error {
	good := 0
	for _, v := range b.point.visits {
		good += len(v[toFirst]) + len(v[toLast])
	}
	if b.point.Failed*9 > good {
		return fmt.Errorf("%d Services: %d of %d blocks had connections that failed", b.point.Services, b.point.Failed, good+b.point.Failed)
	}
	return nil
}

// change times the syncs that follow a change of one Service.
func (b *bench) change(ctx context.Context) error {
	var took []time.Duration
	for _, ops := range b.load.changes {
		begin := time.Now()
		if err := b.kernel.Apply(ctx, ops); err != nil {
			return err
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	b.point.OneUpdate = quantile(took, 0.5)
	return nil
}
