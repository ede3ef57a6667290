package run

import (
	"net/netip"
	"time"

	"github.com/svclab/svclab/sim/measure"
	"github.com/svclab/svclab/sim/replay"
	"github.com/svclab/svclab/sim/scenario"
	"github.com/svclab/svclab/sim/traffic"
)

// link is an open connection and what it is used for.
type link struct {
	flow     traffic.Flow
	site     *site
	conn     any // of the world
	outcome  measure.Outcome
	opened   time.Duration
	requests int
	due      time.Duration // when its next request is meant to be sent
	closed   bool
}

// slot is one connection of a client's pool, and the requests that wait for it.
type slot struct {
	link    *link
	busy    bool
	waiting []traffic.Flow
}

// arrive is one arrival: a connection, or with a pool a request on one.
func (e *engine) arrive(f traffic.Flow) {
	t := &e.scenario.Spec.Traffic[f.Group]
	if t.Pool != nil {
		e.pooled(f, t.Pool)
		return
	}
	e.attempt(f.At, f, 0, func(now time.Duration, l *link) { e.use(now, t, l) })
}

// attempt opens a connection; used are the requests that its client has made already. then gets nil when it was not answered.
func (e *engine) attempt(now time.Duration, f traffic.Flow, used int, then func(now time.Duration, l *link)) {
	if e.scenario.Spec.Traffic[f.Group].To.Name.Value == "" {
		e.open(now, f, used, then)
		return
	}
	e.resolve(now, f, func(now time.Duration, f traffic.Flow, r replay.Result, why string) {
		if r == replay.Answered {
			e.open(now, f, used, then)
			return
		}
		e.saw(now, &opened{Outcome: replay.Outcome{Result: r, Reason: why}, flow: f})
		then(now, nil)
	})
}

// open opens a connection whose destination is known.
func (e *engine) open(now time.Duration, f traffic.Flow, used int, then func(now time.Duration, l *link)) {
	e.world.open(now, f, func(now time.Duration, o opened) {
		e.saw(now, &o)
		if o.conn == nil {
			then(now, nil)
			return
		}
		l := &link{flow: o.flow, site: o.site, conn: o.conn, outcome: measure.Backend(o.Endpoint), opened: now, requests: used, due: now}
		e.watch[f.Group].open[l.outcome]++
		then(now, l)
	})
}

// saw notes how opening a connection ended.
func (e *engine) saw(now time.Duration, o *opened) {
	e.follow.ended(now, o)
	e.watch[o.flow.Group].see(now, o, e.known)
	if e.options.seen == nil {
		return
	}
	c := measure.Connection{ID: o.flow.ID, Client: o.flow.Src, To: o.flow.Dst, Drew: o.drew, At: o.flow.At}
	switch o.Result {
	case replay.Answered:
		c.Outcome, c.Source = measure.Backend(o.Endpoint), o.Seen.Addr()
	case replay.TimedOut:
		c.Outcome = measure.Timeout()
	default:
		c.Outcome = measure.Refused()
	}
	e.options.seen(o.flow.Group, c, o.Result)
}

// use plans what a connection is used for, and its end.
func (e *engine) use(now time.Duration, t *scenario.Traffic, l *link) {
	switch {
	case l == nil:
	case t.Requests != nil:
		e.request(now, t.Requests, l)
	case !t.KeepOpen:
		e.end(now, l)
	}
}

// end closes a connection at its time.
func (e *engine) end(now time.Duration, l *link) {
	if l.flow.Duration == 0 {
		e.close(now, l)
		return
	}
	e.pending.Add(e.keyOf(max(now, l.opened+l.flow.Duration), l.flow.Number), func(now time.Duration) error {
		e.close(now, l)
		return nil
	})
}

func (e *engine) close(now time.Duration, l *link) {
	if l.closed {
		return
	}
	l.closed = true
	e.watch[l.flow.Group].open[l.outcome]--
	e.world.close(now, l)
}

// ask sends one request on a connection, meant to be sent at a time, and reports whether it was answered.
func (e *engine) ask(now, meant time.Duration, l *link, then func(now time.Duration, answered bool)) {
	key := uint64(l.flow.Number) | uint64(l.requests+1)<<40
	e.world.exchange(now, l, key, func(now time.Duration, why string) {
		l.requests++
		e.watch[l.flow.Group].asked(now, meant, l, why)
		then(now, why == "")
	})
}

// request sends a connection's next request, and plans the one after it.
func (e *engine) request(now time.Duration, r *scenario.Requests, l *link) {
	for again := true; again; { // a request that is answered at once is followed here, not deeper
		again = false
		if l.closed {
			return
		}
		within := true
		e.ask(now, l.due, l, func(at time.Duration, answered bool) {
			next := e.answered(at, r, l, answered)
			if within {
				again = next
			} else if next {
				e.request(at, r, l)
			}
		})
		within = false
	}
}

// answered decides what follows a request, and reports whether the next one is to be sent now. Requests are meant to be sent at
// equal distances; one whose predecessor took longer is late.
func (e *engine) answered(now time.Duration, r *scenario.Requests, l *link, ok bool) bool {
	if !ok {
		e.abandon(l)
		if r.Reconnect && (r.Count == 0 || l.requests < r.Count) {
			e.again(now, r, l)
		}
		return false
	}
	if r.Count > 0 && l.requests >= r.Count || r.Count == 0 && l.due+r.Every.Duration > l.opened+l.flow.Duration {
		if !e.scenario.Spec.Traffic[l.flow.Group].KeepOpen {
			e.end(now, l)
		}
		return false
	}
	if r.Every.Duration == 0 {
		l.due = now
		return true
	}
	if l.due += r.Every.Duration; l.due < now {
		return true
	}
	e.pending.Add(e.keyOf(l.due, l.flow.Number), func(now time.Duration) error {
		e.request(now, r, l)
		return nil
	})
	return false
}

// abandon gives a connection up that is not answered any more: its packets say nothing more.
func (e *engine) abandon(l *link) {
	l.closed = true
	e.watch[l.flow.Group].open[l.outcome]--
}

// again opens another connection for a client whose request failed; it has the requests that are left.
func (e *engine) again(now time.Duration, r *scenario.Requests, l *link) {
	f := l.flow
	f.At, f.Number = now, e.total+e.extra
	f.Src = netip.AddrPortFrom(f.Src.Addr(), uint16(1025+e.extra%30000))
	e.extra++
	if f.Duration > 0 {
		if f.Duration -= now - l.opened; f.Duration <= 0 {
			return
		}
	}
	t := &e.scenario.Spec.Traffic[f.Group]
	e.attempt(now, f, l.requests, func(now time.Duration, l *link) { e.use(now, t, l) })
}

// pooled is one request of a client with a pool: the connections are used by turns, and opened when they are needed.
func (e *engine) pooled(f traffic.Flow, p *scenario.Pool) {
	w := e.watch[f.Group]
	clients := int64(len(w.group.Clients))
	at := [2]int64{f.ID % clients, f.ID / clients % int64(p.Size)}
	s := w.pool[at]
	if s == nil {
		s = &slot{}
		w.pool[at] = s
	}
	if s.busy {
		s.waiting = append(s.waiting, f)
		return
	}
	e.serve(f.At, s, f, p)
}

// serve sends a request on a pool's connection, which is opened or renewed before where need be.
func (e *engine) serve(now time.Duration, s *slot, f traffic.Flow, p *scenario.Pool) {
	s.busy = true
	if l := s.link; l != nil && !l.closed && (p.MaxRequests > 0 && l.requests >= p.MaxRequests || p.MaxAge.Duration > 0 && now-l.opened >= p.MaxAge.Duration) {
		e.close(now, l)
	}
	send := func(now time.Duration) {
		e.ask(now, f.At, s.link, func(now time.Duration, ok bool) {
			if !ok {
				e.abandon(s.link)
			}
			e.served(now, s, p)
		})
	}
	if s.link != nil && !s.link.closed {
		send(now)
		return
	}
	e.attempt(now, f, 0, func(now time.Duration, l *link) {
		if l == nil {
			e.watch[f.Group].asked(now, f.At, nil, "no connection")
			e.served(now, s, p)
			return
		}
		s.link = l
		send(now)
	})
}

// served lets the next request that waits have the connection.
func (e *engine) served(now time.Duration, s *slot, p *scenario.Pool) {
	if s.busy = false; len(s.waiting) == 0 {
		return
	}
	f := s.waiting[0]
	s.waiting = s.waiting[1:]
	e.serve(now, s, f, p)
}
