package kernel

import (
	"context"

	"github.com/svclab/svclab/sim/box"
)

// time times connections on a thread of its own, and answers once, at the end: nothing else runs meanwhile.
func (a *agent) time(ctx context.Context, r *box.Request) error {
	var q Timing
	if err := r.Decode(&q); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var listeners []*box.QuietListener
	for _, l := range q.Listen {
		side := a.top.SideOf(l.Addr())
		if err := a.local(localKey{side, l.Addr()}); err != nil {
			return err
		}
		s, err := a.side(side).QuietListen(l)
		if err != nil {
			return err
		}
		defer s.Close()
		listeners = append(listeners, s)
	}
	from := a.top.SideOf(q.Client)
	if err := a.local(localKey{from, q.Client}); err != nil {
		return err
	}
	if old, err := a.node.Sysctl(closeTimeout); err == nil && old != closeSeconds {
		if a.node.SetSysctl(closeTimeout, closeSeconds) == nil {
			defer a.node.SetSysctl(closeTimeout, old)
		}
	}
	blocks := make([]box.BlockResult, 0, len(q.Order))
	err := box.OnThread(func(t *box.Thread) error {
		if err := t.Enter(a.side(from)); err != nil {
			return err
		}
		sockets, err := box.NewTimedSockets(q.Client, q.Connects)
		if err != nil {
			return err
		}
		defer sockets.Close()
		for _, i := range q.Order {
			if ctx.Err() != nil {
				return nil
			}
			blocks = append(blocks, sockets.Block(q.Targets[i]))
			for _, l := range listeners {
				if err := l.Drain(); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.Answer(blocks)
}
