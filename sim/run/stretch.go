package run

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/svclab/svclab/sim/kernel"
	"github.com/svclab/svclab/sim/traffic"
)

// How connections are handed to the kernel.
const (
	lotSize      = 10000                  // connections sent at once, while the model walks those before them
	entryLot     = 1000                   // the same where entries of IPVS matter: less than end within a second or two
	quietTimeout = 400 * time.Millisecond // of connections that nothing answers: less than the first retransmission of a SYN
	quietWorkers = 256
	// perClient bounds the connections of one client address to one destination: source ports must not come back within
	// kernel.PortRest.
	perClient = 50000
	// maxQuiet bounds the connections of one traffic that wait for a timeout each.
	maxQuiet = 2000
	// maxQuietSerial is the same where each waits by itself.
	maxQuietSerial = 100
)

// stretch is a time without events: connections are gathered in lots, and played on the model as their outcomes come in.
type stretch struct {
	c           *comparison
	loud, quiet []kernel.Flow
	sent        []int64 // by group
	from        time.Duration
	done        chan error
}

func newStretch(c *comparison) *stretch { return &stretch{c: c, sent: make([]int64, len(c.groups))} }

// add takes one more connection, and sends the lot when it is full.
func (s *stretch) add(ctx context.Context, f traffic.Flow) error {
	w := s.c.watchers[f.Group]
	limit := int64(len(w.group.Clients)) * perClient
	if w.quiet {
		limit = min(limit, maxQuiet)
		if s.c.serial {
			limit = min(limit, maxQuietSerial)
		}
	}
	if s.sent[f.Group]++; s.sent[f.Group] > limit {
		w.left++
		return nil
	}
	k := kernel.Flow{ID: flowID(f.Group, f.ID), Proto: w.group.Proto, Src: netip.AddrPortFrom(f.Src.Addr(), 0), Dst: f.Dst}
	if s.c.paced {
		k.At = f.At - s.from
	}
	if w.quiet && !s.c.paced {
		s.quiet = append(s.quiet, k)
		return nil
	}
	s.loud = append(s.loud, k)
	lot := lotSize
	if len(s.c.ageing.times) > 0 {
		lot = entryLot
	}
	if len(s.loud) < lot || s.c.paced {
		return nil
	}
	if err := s.flush(ctx, false); err != nil || len(s.c.ageing.times) == 0 {
		return err
	}
	if err := s.wait(); err != nil {
		return err
	}
	return s.c.age(ctx, 0)
}

// flowID packs a group and a number within it.
func flowID(group int, id int64) uint64 { return uint64(group)<<40 | uint64(id) }

func flowOf(id uint64) (group int, number int64) { return int(id >> 40), int64(id & (1<<40 - 1)) }

// flush sends what was gathered; all says whether those that nothing answers are sent too.
func (s *stretch) flush(ctx context.Context, all bool) error {
	err := s.send(ctx, s.loud, kernel.RunOptions{})
	s.loud = s.loud[:0]
	if err != nil || !all {
		return err
	}
	err = s.send(ctx, s.quiet, kernel.RunOptions{Workers: quietWorkers, Timeout: quietTimeout})
	s.quiet = s.quiet[:0]
	return err
}

// send runs flows on the kernel, and starts the model on what came of them.
func (s *stretch) send(ctx context.Context, flows []kernel.Flow, o kernel.RunOptions) error {
	if len(flows) == 0 {
		return nil
	}
	c := s.c
	if c.serial {
		o.Workers = 1
	}
	if c.paced { // one that waits for its time must not keep others waiting, nor one that nothing answers
		o.Timeout = quietTimeout
	}
	total := c.total
	o.Progress = func(done int) {
		if c.options.Progress != nil {
			c.options.Progress(c.opened+int64(done), total)
		}
	}
	base := c.now()
	log, err := c.kernel.Run(ctx, flows, o)
	if e := s.wait(); e != nil && err == nil {
		err = e
	}
	if log == nil {
		return err
	}
	c.opened += int64(len(log.Outcomes))
	for i := range log.Outcomes {
		log.Outcomes[i].Start += base
	}
	if c.opt.seen != nil {
		c.opt.seen(log)
	}
	done := make(chan error, 1)
	s.done = done
	go func() { done <- c.play(ctx, log) }()
	if err != nil {
		if e := s.wait(); e != nil {
			return e
		}
	}
	return err
}

// wait waits until the model has walked all that was sent.
func (s *stretch) wait() error {
	if s.done == nil {
		return nil
	}
	err := <-s.done
	s.done = nil
	return err
}

// finish ends the stretch with what happens at its end.
func (s *stretch) finish(ctx context.Context, at time.Duration) error {
	if err := s.end(ctx); err != nil {
		return err
	}
	s.from = at
	return s.c.happen(ctx, at)
}

func (s *stretch) end(ctx context.Context) error {
	if err := s.flush(ctx, true); err != nil {
		return err
	}
	if err := s.wait(); err != nil {
		return fmt.Errorf("the model beside the kernel: %w", err)
	}
	return nil
}
