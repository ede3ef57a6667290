package netstack

import (
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// epoch is where the monotonic clock of every stack starts: not at zero, which stacks read as "never", and far enough that
// nothing subtracted from it gets there.
const epoch = 1000 * time.Second

// virtualClock is the clock of every stack of one Fabric in virtual time. Time stands still until the pump moves it; timers
// run on the pump, one after the other, by expiry and then in the order in which they were set. Processors of gVisor's TCP
// set and stop timers concurrently, hence the lock.
type virtualClock struct {
	now   atomic.Int64 // virtual time in nanoseconds
	mu    sync.Mutex   // guards the rest
	heap  []*timer
	count uint64
}

// timer is one pending or idle timer; it is a tcpip.Timer. Where is its place in the heap plus one, 0 while it is not in it.
type timer struct {
	clock *virtualClock
	at    time.Duration
	order uint64
	where int
	do    func()
}

// Now is the wall time of the stacks: virtual time since the beginning of 1970.
func (c *virtualClock) Now() time.Time {
	return time.Unix(0, 0).Add(epoch + c.time())
}

// NowMonotonic is virtual time, shifted by epoch.
func (c *virtualClock) NowMonotonic() tcpip.MonotonicTime {
	return tcpip.MonotonicTime{}.Add(epoch + c.time())
}

// AfterFunc sets a timer.
func (c *virtualClock) AfterFunc(d time.Duration, do func()) tcpip.Timer {
	t := &timer{clock: c, do: do}
	t.Reset(d)
	return t
}

// Stop takes the timer back and reports whether it was pending.
func (t *timer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	if t.where == 0 {
		return false
	}
	t.clock.remove(t)
	return true
}

// Reset sets the timer, again if it is pending.
func (t *timer) Reset(d time.Duration) {
	c := t.clock
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.where != 0 {
		c.remove(t)
	}
	c.count++
	t.at, t.order = c.time()+max(d, 0), c.count
	c.heap = append(c.heap, t)
	t.where = len(c.heap)
	c.up(len(c.heap) - 1)
}

// next is when the earliest timer expires.
func (c *virtualClock) next() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.heap) == 0 {
		return 0, false
	}
	return c.heap[0].at, true
}

// take removes the earliest timer that has expired by now.
func (c *virtualClock) take() *timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.heap) == 0 || c.heap[0].at > c.time() {
		return nil
	}
	t := c.heap[0]
	c.remove(t)
	return t
}

func (c *virtualClock) set(now time.Duration) { c.now.Store(int64(now)) }

func (c *virtualClock) time() time.Duration { return time.Duration(c.now.Load()) }

func (c *virtualClock) less(i, j int) bool {
	a, b := c.heap[i], c.heap[j]
	return a.at < b.at || a.at == b.at && a.order < b.order
}

func (c *virtualClock) swap(i, j int) {
	c.heap[i], c.heap[j] = c.heap[j], c.heap[i]
	c.heap[i].where, c.heap[j].where = i+1, j+1
}

func (c *virtualClock) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !c.less(i, parent) {
			return
		}
		c.swap(i, parent)
		i = parent
	}
}

func (c *virtualClock) down(i int) {
	for {
		least := 2*i + 1
		if least >= len(c.heap) {
			return
		}
		if right := least + 1; right < len(c.heap) && c.less(right, least) {
			least = right
		}
		if !c.less(least, i) {
			return
		}
		c.swap(i, least)
		i = least
	}
}

func (c *virtualClock) remove(t *timer) {
	i, last := t.where-1, len(c.heap)-1
	c.swap(i, last)
	c.heap[last] = nil
	c.heap = c.heap[:last]
	t.where = 0
	if i < last {
		c.down(i)
		c.up(i)
	}
}
