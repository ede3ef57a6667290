package ipvs

import "time"

// Advance moves virtual time to now and runs the timers on the way: entries, the trash, the sweep of removed servers'
// entries, the caches of lblc and lblcr. Time does not go back.
func (t *Table) Advance(now time.Duration) {
	for {
		at, run := t.nextTimer(now)
		if run == noTimer {
			break
		}
		t.now = max(t.now, at)
		switch run {
		case connTimer:
			t.expire(t.conns.heap[0].c)
		case sweepTimer:
			t.sweep = -1
			t.sweepNodest()
		case trashTimer:
			t.emptyTrash()
		default:
			s := t.tickers[run]
			s.sched.(ticker).tick(s, at)
		}
	}
	t.now = max(t.now, now)
}

// The timers of a table; those from 0 on are schedulers' own.
const (
	noTimer = -1 - iota
	connTimer
	sweepTimer
	trashTimer
)

// nextTimer returns the earliest timer that is due, and when it was. Of equals an entry's comes first.
func (t *Table) nextTimer(now time.Duration) (at time.Duration, run int) {
	run = noTimer
	due := func(when time.Duration, which int) {
		if when <= now && (run == noTimer || when < at) {
			at, run = when, which
		}
	}
	if c := t.conns.earliest(); c != nil {
		due(c.Expires, connTimer)
	}
	if t.sweep >= 0 {
		due(t.sweep, sweepTimer)
	}
	if len(t.trash) > 0 {
		due(t.trashTick, trashTimer)
	}
	for i, s := range t.tickers {
		due(s.sched.(ticker).nextTick(), i)
	}
	return at, run
}
