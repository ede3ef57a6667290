package netstack

import (
	"cmp"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"
)

// socket is one endpoint of a stack with what waits for it. Stacks report that something happened from whatever goroutine; the
// pump lets the owner look, in order.
type socket struct {
	f      *Fabric
	flow   int64
	id     int64 // by age
	queue  *waiter.Queue
	entry  waiter.Entry
	ep     tcpip.Endpoint
	act    actor
	queued bool // guarded by Fabric.mu
}

// actor is the owner of a socket. ready is called on the pump after something happened to the socket, once for any number of
// events.
type actor interface{ ready() }

// NotifyEvent implements waiter.EventListener.
func (s *socket) NotifyEvent(waiter.EventMask) {
	f := s.f
	f.mu.Lock()
	if !s.queued {
		s.queued = true
		f.woken = append(f.woken, s)
	}
	f.mu.Unlock()
	if f.live != nil {
		f.live.kick()
	}
}

// watch starts reporting.
func (s *socket) watch(f *Fabric, flow int64, ep tcpip.Endpoint, q *waiter.Queue, a actor) {
	f.sockets++
	s.f, s.flow, s.id, s.ep, s.queue, s.act = f, flow, f.sockets, ep, q, a
	s.entry.Init(s, waiter.ReadableEvents|waiter.WritableEvents|waiter.EventErr|waiter.EventHUp|waiter.EventRdHUp)
	q.EventRegister(&s.entry)
}

// ignore ends reporting.
func (s *socket) ignore() { s.queue.EventUnregister(&s.entry) }

func (s *socket) compare(t *socket) int {
	if s.flow != t.flow {
		return cmp.Compare(s.flow, t.flow)
	}
	return cmp.Compare(s.id, t.id)
}
