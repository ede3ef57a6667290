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
	Targets []netip.AddrPort
	// Order has the index of a target for each block, first to last: targets that take turns meet alike whatever the machine does
	// meanwhile.
	Order []int
	// Connects is the number of connections of a block, timed as one.
	Connects int
}

// TimedBlock is what one block of connections took.
type TimedBlock struct {
	Target     int
	PerConnect time.Duration
	Failed     int // connections that did not come about: the time says nothing then
}

// closeTimeout is the sysctl that says how long the node remembers connections that were reset, and closeSeconds what it is while
// connections are timed: what earlier blocks left behind is not to be part of what later ones cost.
const (
	closeTimeout = "net.netfilter.nf_conntrack_tcp_timeout_close"
	closeSeconds = "1"
)

// Time times blocks of connections, in the order asked for, without an answer in between. When the context ends, what is known so
// far is returned with its error.
func (k *Kernel) Time(ctx context.Context, t Timing) ([]TimedBlock, error) {
	for _, i := range t.Order {
		if i < 0 || i >= len(t.Targets) {
			return nil, &UnsupportedError{Op: "time", Why: "a block's target is none of the targets"}
		}
	}
	var all []TimedBlock
	err := k.v.Stream(ctx, "time", t, func(decode func(any) error) error {
		var b []box.BlockResult
		if err := decode(&b); err != nil {
			return err
		}
		for i, r := range b[:min(len(b), len(t.Order))] {
			all = append(all, TimedBlock{Target: t.Order[i], PerConnect: r.PerConnect, Failed: r.Failed})
		}
		return nil
	})
	return all, err
}
