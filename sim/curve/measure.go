package curve

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/svclab/svclab/sim/box"
	"github.com/svclab/svclab/sim/kernel"
	"github.com/svclab/svclab/sim/seed"
)

// What a measurement takes where nobody says otherwise.
const (
	DefaultRounds   = 40
	DefaultBlocks   = 60
	DefaultConnects = 5
	DefaultUMLMax   = 3000
)

// Options bound a measurement.
type Options struct {
	Series   []Series
	Sizes    []int // numbers of Services
	UMLMax   int   // largest number of Services in a kernel of its own, where loading is slow; 0 for no bound
	Rounds   int   // visits to each size
	Blocks   int   // of connections to each target in a visit
	Connects int   // of a block, timed as one
	Seed     uint64
	// Progress is told what begins, a line at a time; nil is told nothing.
	Progress func(line string)
}

func (o *Options) tell(format string, args ...any) {
	if o.Progress != nil {
		o.Progress(fmt.Sprintf(format, args...))
	}
}

// Measure measures every series at every size and judges the lines. What is missing on this machine makes a series without points
// that says why. When the context ends, the result holds what was measured so far and the error is the context's.
func Measure(ctx context.Context, o Options) (*Result, error) {
	o.Sizes = slices.Compact(slices.Sorted(slices.Values(o.Sizes)))
	r := &Result{Seed: o.Seed, Rounds: o.Rounds, Blocks: o.Blocks, Connects: o.Connects}
	for _, s := range o.Series {
		l, err := measure(ctx, s, o)
		r.Lines = append(r.Lines, *l)
		if err != nil {
			r.judge()
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return r, err
		}
	}
	r.judge()
	return r, nil
}

// measure measures one series: a kernel for each size, all of them up, and rounds of visits to them in random order. So a machine
// that grows slower meanwhile slows every size alike.
func measure(ctx context.Context, s Series, o Options) (*Line, error) {
	l := &Line{Series: s}
	var benches []*bench
	defer func() {
		for _, b := range benches {
			b.close()
		}
	}()
	for _, n := range o.Sizes {
		if s.Vehicle == kernel.VehicleUML && o.UMLMax > 0 && n > o.UMLMax {
			continue
		}
		o.tell("%s: loading %d Services", s.Name, n)
		b, err := newBench(ctx, s, n)
		var missing *box.MissingError
		if errors.As(err, &missing) {
			l.Missing = missing
			break
		}
		if err != nil {
			return l, fmt.Errorf("%s, %d Services: %w", s.Name, n, err)
		}
		benches = append(benches, b)
		l.Release = b.kernel.Version().Release
	}
	err := l.rounds(ctx, benches, o)
	for _, b := range benches {
		if err == nil {
			o.tell("%s: changing one of %d Services", s.Name, b.point.Services)
			err = b.change(ctx)
		}
		if err == nil {
			err = b.enough()
		}
		if b.point.summarise() {
			l.Points = append(l.Points, b.point)
		}
	}
	if err != nil {
		return l, fmt.Errorf("%s: %w", s.Name, err)
	}
	return l, nil
}

// rounds visits every bench once a round.
func (l *Line) rounds(ctx context.Context, benches []*bench, o Options) error {
	rng := seed.Root(o.Seed).Stream("curve order " + l.Series.Name).Rand()
	order := rng.Perm(len(benches))
	for round := range o.Rounds {
		if len(benches) > 0 && (round%10 == 0) {
			o.tell("%s: round %d of %d", l.Series.Name, round+1, o.Rounds)
		}
		rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, i := range order {
			if err := benches[i].visit(ctx, turns(rng, o.Blocks), o.Connects); err != nil {
				return fmt.Errorf("%d Services: %w", benches[i].point.Services, err)
			}
		}
	}
	return nil
}

// The targets of a visit.
const (
	toFirst = iota
	toLast
)

// turns is the order of a visit's blocks: the first Service, the last, the last, the first and so on, so that a drift within the
// visit meets both alike; which of them begins is drawn.
func turns(rng *rand.Rand, blocks int) []int {
	a, b := toFirst, toLast
	if rng.IntN(2) == 1 {
		a, b = b, a
	}
	var order []int
	for i := range blocks {
		if i%2 == 0 {
			order = append(order, a, b)
		} else {
			order = append(order, b, a)
		}
	}
	return order
}
