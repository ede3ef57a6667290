package run

import (
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/measure"
	"github.com/svclab/svclab/sim/replay"
	"github.com/svclab/svclab/sim/scenario"
	"github.com/svclab/svclab/sim/traffic"
)

// link is an open connection and what it is used for.
type link struct {
	flow     traffic.Flow
	site     *site
	conn     *replay.Conn
	outcome  measure.Outcome
	opened   time.Duration
	requests int
	closed   bool
}

// arrive is one arrival: a connection, or with a pool a request on one.
func (e *engine) arrive(f traffic.Flow) {
	if t := &e.scenario.Spec.Traffic[f.Group]; t.Pool != nil {
		e.pooled(f, t.Pool)
		return
	}
	e.attempt(f.At, f, 0, 0)
}

// attempt sends a connection's first packet; one that is not heard of is sent again as long as the client waits, each time after
// twice the wait before (net/ipv4/tcp_timer.c, tcp_retransmit_timer). used are the requests that its client has made already.
func (e *engine) attempt(now time.Duration, f traffic.Flow, try, used int) *link {
	t := &e.scenario.Spec.Traffic[f.Group]
	w := e.watch[f.Group]
	if try == 0 {
		e.source.at(uint64(f.Number))
	} else {
		e.source.at(uint64(f.Number) | uint64(try)<<48)
	}
	st, dst := e.entry(&f)
	f.Dst = dst
	var o replay.Outcome
	var c *replay.Conn
	switch {
	case st == nil:
		o.Reason = "the balancer knows of no node"
	case st.lost:
		o.Reason = "node " + st.Host.Name + " is lost"
	default:
		o, c = st.world.Open(now, replay.Flow{Proto: e.groups[f.Group].Proto, Src: f.Src, Dst: dst, NoReply: t.NoReply})
	}
	if o.Result == replay.TimedOut && t.ConnectTimeout.Duration > 0 && e.groups[f.Group].Proto == packet.TCP {
		wait := time.Second << try
		if now+wait-f.At < t.ConnectTimeout.Duration {
			e.pending.Add(e.keyOf(now+wait, f.Number), func(now time.Duration) error {
				e.attempt(now, f, try+1, used)
				return nil
			})
			return nil
		}
		now = f.At + t.ConnectTimeout.Duration
	}
	w.see(now, f, st, o, e.source.drew, e.known)
	if c == nil {
		return nil
	}
	l := &link{flow: f, site: st, conn: c, outcome: measure.Backend(o.Endpoint), opened: now, requests: used}
	w.open[l.outcome]++
	e.use(now, t, l)
	return l
}

// use plans what a connection is used for, and its end.
func (e *engine) use(now time.Duration, t *scenario.Traffic, l *link) {
	if r := t.Requests; r != nil {
		e.request(now, r, l)
		return
	}
	if t.KeepOpen || t.Pool != nil {
		return
	}
	e.end(now, l)
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
	if !l.site.lost {
		l.site.world.Close(now, l.conn)
	}
}

// ask sends one request on a connection and reports whether it was answered.
func (e *engine) ask(now time.Duration, l *link) bool {
	why := ""
	if l.site.lost {
		why = "node " + l.site.Host.Name + " is lost"
	} else {
		e.source.at(uint64(l.flow.Number) | uint64(l.requests+1)<<40)
		why = l.site.world.Exchange(now, l.conn, 100, 1000)
	}
	l.requests++
	e.watch[l.flow.Group].asked(now, l, why)
	return why == ""
}

// request sends a connection's next request, and plans the one after it.
func (e *engine) request(now time.Duration, r *scenario.Requests, l *link) {
	t := &e.scenario.Spec.Traffic[l.flow.Group]
	for {
		if l.closed {
			return
		}
		if !e.ask(now, l) {
			e.abandon(l)
			if r.Reconnect && (r.Count == 0 || l.requests < r.Count) {
				e.again(now, r, l)
			}
			return
		}
		over := r.Count > 0 && l.requests >= r.Count || r.Count == 0 && now+r.Every.Duration > l.opened+l.flow.Duration
		if over {
			if !t.KeepOpen {
				e.end(now, l)
			}
			return
		}
		if r.Every.Duration > 0 {
			e.pending.Add(e.keyOf(now+r.Every.Duration, l.flow.Number), func(now time.Duration) error {
				e.request(now, r, l)
				return nil
			})
			return
		}
	}
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
	e.attempt(now, f, 0, l.requests)
}

// pooled is one request of a client with a pool: the connections are used by turns, and opened when they are needed.
func (e *engine) pooled(f traffic.Flow, p *scenario.Pool) {
	w := e.watch[f.Group]
	clients := int64(len(w.group.Clients))
	slot := [2]int64{f.ID % clients, f.ID / clients % int64(p.Size)}
	l := w.pool[slot]
	if l != nil && !l.closed && (p.MaxRequests > 0 && l.requests >= p.MaxRequests || p.MaxAge.Duration > 0 && f.At-l.opened >= p.MaxAge.Duration) {
		e.close(f.At, l)
	}
	if l == nil || l.closed {
		if l = e.attempt(f.At, f, 0, 0); l == nil {
			w.asked(f.At, nil, "no connection")
			return
		}
		w.pool[slot] = l
	}
	if !e.ask(f.At, l) {
		e.abandon(l)
	}
}
