package conntrack

import (
	"math/bits"
	"time"

	"github.com/svclab/svclab/datapath/journal"
)

// The timer wheel: every list of a level covers a span of absolute time, 256 lists a level, each level 256 times as
// coarse as the one below. An entry hangs in the level of the highest 8-bit digit in which its time differs from the
// wheel's, and moves down as that time comes near. A timer that is put off is not moved: it is looked at when its old
// time comes (the kernel's garbage collector goes the same way about it: nf_conntrack_core.c, gc_worker).
const (
	tickBits   = 14 // one tick is 16.4 microseconds
	levelBits  = 8
	levelLists = 1 << levelBits
	numLevels  = 7 // covers 2^63 ns
	noSlot     = -1
)

// timer is an entry's place in the wheel.
type timer struct {
	prev, next int32
	list       int16 // level*256+index, or noSlot
}

type wheel struct {
	tick     uint64 // ticks before this one have been dealt with
	next     time.Duration
	occupied [numLevels * levelLists / 64]uint64 // which lists hold timers
	heads    [numLevels * levelLists]int32
}

func (w *wheel) init() {
	for i := range w.heads {
		w.heads[i] = noSlot
	}
	w.next = forever
}

const forever = time.Duration(1<<63 - 1)

// schedule files an entry under a time; one already filed must be unscheduled first.
func (t *Table) schedule(slot int32, at time.Duration, j *journal.Journal) {
	w := &t.wheel
	tick := uint64(max(at, 0)) >> tickBits
	tick = max(tick, w.tick)
	level := 0
	if d := tick ^ w.tick; d != 0 {
		level = (bits.Len64(d) - 1) / levelBits
	}
	list := int16(level<<levelBits | int(tick>>(level*levelBits))&(levelLists-1))
	tm := t.timer(slot)
	head := w.heads[list]
	c := t.conn(slot)
	if j.On() {
		save(j, &c.filed)
		save(j, tm)
		save(j, &w.heads[list])
		save(j, &w.occupied[list>>6])
		save(j, &w.next)
		if head != noSlot {
			save(j, t.timer(head))
		}
	}
	c.filed = at
	*tm = timer{prev: noSlot, next: head, list: list}
	if head != noSlot {
		t.timer(head).prev = slot
	}
	w.heads[list] = slot
	w.occupied[list>>6] |= 1 << (list & 63)
	w.next = min(w.next, at)
}

// unschedule takes an entry out of the wheel.
func (t *Table) unschedule(slot int32, j *journal.Journal) {
	tm := t.timer(slot)
	if tm.list == noSlot {
		return
	}
	w := &t.wheel
	if j.On() {
		save(j, tm)
		save(j, &w.heads[tm.list])
		save(j, &w.occupied[tm.list>>6])
		if tm.prev != noSlot {
			save(j, t.timer(tm.prev))
		}
		if tm.next != noSlot {
			save(j, t.timer(tm.next))
		}
	}
	if tm.next != noSlot {
		t.timer(tm.next).prev = tm.prev
	}
	if tm.prev != noSlot {
		t.timer(tm.prev).next = tm.next
	} else {
		w.heads[tm.list] = tm.next
		if tm.next == noSlot {
			w.occupied[tm.list>>6] &^= 1 << (tm.list & 63)
		}
	}
	tm.list = noSlot
}

// first returns the earliest list that holds a timer, and the tick at which its span begins.
func (w *wheel) first() (list int, tick uint64, ok bool) {
	for i := range w.occupied {
		bitmap := w.occupied[i]
		if bitmap == 0 {
			continue
		}
		list = i<<6 | bits.TrailingZeros64(bitmap)
		shift := list >> levelBits * levelBits
		// The wheel's time with this level's digit replaced and the ones below cleared.
		tick = w.tick>>shift>>levelBits<<levelBits | uint64(list&(levelLists-1))
		return list, tick << shift, true
	}
	return 0, 0, false
}

// Advance removes the entries whose time has come by now. Time never goes back, except by a journal's Rollback.
func (t *Table) Advance(now time.Duration, j *journal.Journal) {
	w := &t.wheel
	if now < w.next {
		return
	}
	if j.On() {
		save(j, &w.tick)
		save(j, &w.next)
	}
	target := uint64(max(now, 0)) >> tickBits
	for {
		list, tick, ok := w.first()
		if !ok || tick > target {
			break
		}
		w.tick = max(w.tick, tick)
		if list < levelLists && tick == target {
			break // this tick is not over yet
		}
		t.empty(list, now, j)
	}
	w.tick = max(w.tick, target)
	t.emptyDue(now, j)
	w.next = w.lowerBound(t)
}

// empty takes every timer out of a list: entries whose time has come are removed, the others filed anew.
func (t *Table) empty(list int, now time.Duration, j *journal.Journal) {
	w := &t.wheel
	slot := w.heads[list]
	if j.On() {
		save(j, &w.heads[list])
		save(j, &w.occupied[list>>6])
	}
	w.heads[list] = noSlot
	w.occupied[list>>6] &^= 1 << (list & 63)
	for next := slot; slot != noSlot; slot = next {
		tm := t.timer(slot)
		if j.On() {
			save(j, tm)
		}
		next, tm.list = tm.next, noSlot
		if c := t.conn(slot); c.Expires <= now {
			t.remove(c, j)
		} else {
			t.schedule(slot, c.Expires, j)
		}
	}
}

// emptyDue looks through the list of the present tick, which is only partly due.
func (t *Table) emptyDue(now time.Duration, j *journal.Journal) {
	w := &t.wheel
	list := int(w.tick & (levelLists - 1))
	for slot := w.heads[list]; slot != noSlot; {
		tm := t.timer(slot)
		next := tm.next
		if c := t.conn(slot); c.filed <= now {
			t.unschedule(slot, j)
			if c.Expires <= now {
				t.remove(c, j)
			} else {
				t.schedule(slot, c.Expires, j)
			}
		}
		slot = next
	}
}

// lowerBound is a time before which no timer is due.
func (w *wheel) lowerBound(t *Table) time.Duration {
	list, tick, ok := w.first()
	if !ok {
		return forever
	}
	if list >= levelLists {
		return time.Duration(tick << tickBits)
	}
	at := forever
	for slot := w.heads[list]; slot != noSlot; slot = t.timer(slot).next {
		at = min(at, t.conn(slot).filed)
	}
	return at
}

// NextExpiry returns a time before which no entry expires: calling Advance earlier is needless. Entries that were
// refreshed meanwhile may make it early; Advance then finds nothing to remove and the next answer is later. ok is
// false when the table is empty.
func (t *Table) NextExpiry() (at time.Duration, ok bool) {
	if t.wheel.next == forever {
		return 0, false
	}
	return t.wheel.next, true
}
