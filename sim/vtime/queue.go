// Package vtime is virtual time: a queue of events in the one order that everything in a run follows, by time, then
// flow, then sequence. Nothing here reads a clock; time passes because an event is taken.
package vtime

import (
	"container/heap"
	"time"
)

// Key places an event. Two events of one queue never have equal keys.
type Key struct {
	At       time.Duration // since the run began
	Flow     int64         // which flow or object the event belongs to; -1 goes first: changes of state precede traffic
	Sequence int           // order within the flow
}

// Less reports whether k comes before l.
func (k Key) Less(l Key) bool {
	switch {
	case k.At != l.At:
		return k.At < l.At
	case k.Flow != l.Flow:
		return k.Flow < l.Flow
	}
	return k.Sequence < l.Sequence
}

// Queue holds future events. The zero value is an empty queue at time 0. It is not for concurrent use.
type Queue[T any] struct {
	items items[T]
	now   time.Duration
}

// Now is the time of the event taken last.
func (q *Queue[T]) Now() time.Duration { return q.now }

// Len is the number of events to come.
func (q *Queue[T]) Len() int { return len(q.items) }

// Add places an event; one in the past is placed at Now.
func (q *Queue[T]) Add(k Key, v T) {
	k.At = max(k.At, q.now)
	heap.Push(&q.items, item[T]{k, v})
}

// Next takes the earliest event and moves the time to it; ok is false when there is none.
func (q *Queue[T]) Next() (k Key, v T, ok bool) {
	if len(q.items) == 0 {
		return k, v, false
	}
	i := heap.Pop(&q.items).(item[T])
	q.now = i.key.At
	return i.key, i.value, true
}

type item[T any] struct {
	key   Key
	value T
}

type items[T any] []item[T]

func (s items[T]) Len() int           { return len(s) }
func (s items[T]) Less(i, j int) bool { return s[i].key.Less(s[j].key) }
func (s items[T]) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *items[T]) Push(x any)        { *s = append(*s, x.(item[T])) }
func (s *items[T]) Pop() any {
	old := *s
	last := old[len(old)-1]
	*s = old[:len(old)-1]
	return last
}

// Peek is the time of the earliest event; ok is false when there is none.
func (q *Queue[T]) Peek() (at time.Duration, ok bool) {
	if len(q.items) == 0 {
		return 0, false
	}
	return q.items[0].key.At, true
}
