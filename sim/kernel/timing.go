package kernel

import (
	"context"
	"net/netip"
	"time"

	"github.com/svclab/svclab/sim/box"
)

// Timing asks how long it takes to connect to each of some targets.
type Timing struct {
	Client  netip.Addr       // where connections come from
	Listen  []netip.AddrPort // sockets that take them; the world must have no Backends there
	Targets []netip.AddrPort // timed in turn, block by block, so that what the machine does meanwhile meets all of them alike
	Blocks  int              // of each target
	// Connects is the number of connections of a block, timed as one.
	Connects int
}

// Time times connections. The answer has, for each target, the time of one connection in each block, in the order of the blocks;
// blocks in which a connection failed are left out and counted in failed. When the context ends, what is known so far is returned
// with its error.
func (k *Kernel) Time(ctx context.Context, t Timing) (perConnect [][]time.Duration, failed int, err error) {
	perConnect = make([][]time.Duration, len(t.Targets))
	err = k.v.Stream(ctx, "time", t, func(decode func(any) error) error {
		var b timingBlock
		if err := decode(&b); err != nil {
			return err
		}
		if b.Result.Failed > 0 {
			failed++
			return nil
		}
		perConnect[b.Target] = append(perConnect[b.Target], b.Result.PerConnect)
		return nil
	})
	return perConnect, failed, err
}

// timingBlock is one answer of the method time.
type timingBlock struct {
	Target int
	Result box.BlockResult
}
