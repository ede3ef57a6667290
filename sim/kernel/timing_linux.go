package kernel

import (
	"context"

	"github.com/svclab/svclab/sim/box"
)

// time times connections on a thread of its own.
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
	return box.OnThread(func(t *box.Thread) error {
		if err := t.Enter(a.side(from)); err != nil {
			return err
		}
		for block := range q.Blocks {
			for i := range q.Targets {
				if ctx.Err() != nil {
					return nil
				}
				i = (i + block) % len(q.Targets)
				b, err := box.ConnectBlock{Local: q.Client, Remote: q.Targets[i], Connects: q.Connects}.Do()
				if err != nil {
					return err
				}
				for _, l := range listeners {
					l.Drain()
				}
				if err := r.Answer(timingBlock{Target: i, Result: b}); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
