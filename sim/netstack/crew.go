package netstack

import (
	"slices"
	"time"
)

// crew is the workers of a server, and what waits for them.
type crew struct {
	busy    int
	waiting []job
}

// job is one request: done is called when a worker has spent its time on it.
type job struct {
	flow    int64
	ordinal uint64 // among the requests of its flow
	done    func(took time.Duration)
}

// take works on a job now, or when a worker is free; it reports false when all are busy and the queue is full. Workers 0 is any
// number of them, and queue 0 any length.
func (c *crew) take(f *Fabric, workers, queue int, s Service, j job) bool {
	if workers > 0 && c.busy >= workers {
		if queue > 0 && len(c.waiting) >= queue {
			return false
		}
		c.waiting = append(c.waiting, j)
		return true
	}
	c.work(f, workers, s, j)
	return true
}

func (c *crew) work(f *Fabric, workers int, s Service, j job) {
	took := s.draw(f, j.flow, j.ordinal)
	if took <= 0 {
		j.done(0)
		return
	}
	c.busy++
	t := &timer{clock: &f.clock}
	t.do = func() {
		c.busy--
		j.done(took)
		for len(c.waiting) > 0 && c.busy < workers {
			next := c.waiting[0]
			c.waiting = slices.Delete(c.waiting, 0, 1)
			c.work(f, workers, s, next)
		}
	}
	t.Reset(took)
}

// ordinal numbers the requests of a flow; those of flows that nobody opened with a number are numbered together.
func (f *Fabric) ordinal(fl *flow) uint64 {
	if fl == nil {
		f.requests++
		return f.requests
	}
	fl.requests++
	return fl.requests
}
