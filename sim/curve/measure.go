package curve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/box"
	"github.com/svclab/svclab/sim/kernel"
)

// Series is one line of the plot: a kernel and what kube-proxy programs there.
type Series struct {
	Name    string
	Vehicle kernel.Vehicle
	Variant datapath.Variant
	Mode    service.Mode
	// MaxServices bounds the sizes; 0 is none.
	MaxServices int
}

// AllSeries are the series that can be asked for by name.
func AllSeries() []Series {
	return []Series{
		{Name: "rootless-legacy", Vehicle: kernel.VehicleRootless, Variant: datapath.Legacy, Mode: service.ModeIPTables},
		{Name: "rootless-nft", Vehicle: kernel.VehicleRootless, Variant: datapath.NFT, Mode: service.ModeIPTables},
		{Name: "uml-iptables", Vehicle: kernel.VehicleUML, Variant: datapath.Legacy, Mode: service.ModeIPTables},
		{Name: "uml-ipvs", Vehicle: kernel.VehicleUML, Variant: datapath.Legacy, Mode: service.ModeIPVS},
	}
}

// Options bound a measurement.
type Options struct {
	Series   []Series
	Sizes    []int // numbers of Services
	Blocks   int   // of each target at each size
	Connects int   // of a block
	Seed     uint64
	Progress func(series string, services int)
}

// Measure measures every series at every size. What is missing here makes a series without points that says why. When the context
// ends, the result holds what was measured so far and the error is the context's.
func Measure(ctx context.Context, o Options) (*Result, error) {
	slices.Sort(o.Sizes)
	r := &Result{Seed: o.Seed, Blocks: o.Blocks, Connects: o.Connects}
	for _, s := range o.Series {
		l := Line{Series: s}
		for _, n := range o.Sizes {
			if s.MaxServices > 0 && n > s.MaxServices {
				continue
			}
			if o.Progress != nil {
				o.Progress(s.Name, n)
			}
			p, version, err := point(ctx, s, n, o)
			if ctx.Err() != nil {
				l.judge(o.Seed)
				r.Lines = append(r.Lines, l)
				return r, ctx.Err()
			}
			var missing *box.MissingError
			if errors.As(err, &missing) {
				l.Missing = missing
				break
			}
			if err != nil {
				return r, fmt.Errorf("%s, %d Services: %w", s.Name, n, err)
			}
			l.Release = version.Release
			l.Points = append(l.Points, *p)
		}
		l.judge(o.Seed)
		r.Lines = append(r.Lines, l)
	}
	return r, nil
}

// point measures one size of one series on a kernel made for it.
func point(ctx context.Context, s Series, n int, o Options) (*Point, kernel.Version, error) {
	k, err := kernel.Start(ctx, kernel.Config{
		Vehicle: s.Vehicle, Variant: s.Variant,
		Topology: kernel.Topology{NodeAddrs: []netip.Addr{nodeIP}, LocalPods: []netip.Prefix{pods}},
	})
	if err != nil {
		return nil, kernel.Version{}, err
	}
	defer k.Close()
	l, err := compile(n, s.Mode, s.Variant, "6.1")
	if err != nil {
		return nil, k.Version(), err
	}
	p := &Point{Services: n, FirstRules: l.firstRules, LastRules: l.lastRules}
	begin := time.Now()
	if err := k.Apply(ctx, l.full); err != nil {
		return nil, k.Version(), err
	}
	p.FullUpdate = time.Since(begin)
	q := kernel.Timing{
		Client: client, Targets: []netip.AddrPort{clusterIP(l.first + 1), clusterIP(l.last + 1)}, Blocks: o.Blocks, Connects: o.Connects,
	}
	for i := range endpoints {
		q.Listen = append(q.Listen, endpoint(i))
	}
	// The first block of all meets cold caches.
	warm := q
	warm.Blocks = 1
	if _, _, err := k.Time(ctx, warm); err != nil {
		return nil, k.Version(), err
	}
	times, failed, err := k.Time(ctx, q)
	if err != nil {
		return nil, k.Version(), err
	}
	if failed > o.Blocks/2 || len(times[0]) == 0 || len(times[1]) == 0 {
		return nil, k.Version(), fmt.Errorf("%d of %d blocks had connections that failed", failed, 2*o.Blocks)
	}
	p.first, p.last = times[0], times[1]
	p.First, p.Last = spread(times[0]), spread(times[1])
	begin = time.Now()
	if err := k.Apply(ctx, l.one); err != nil {
		return nil, k.Version(), err
	}
	p.OneUpdate = time.Since(begin)
	return p, k.Version(), nil
}
