package run

import (
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/replay"
	"github.com/svclab/svclab/sim/traffic"
)

// world is where the packets of a run go. What it is asked for takes virtual time, and ends in a call of done: before the asking
// returns where nothing takes time, else when its own events have come so far.
//
// Chance is keyed by the flow and by what is asked on it, so that two worlds draw alike whatever order they work in.
type world interface {
	// open opens a flow for its client. conn is nil unless it was answered.
	open(now time.Duration, f traffic.Flow, done func(now time.Duration, o opened))
	// exchange sends one request and waits for its answer; why is "" when it came. key is the flow's number with what is asked.
	exchange(now time.Duration, l *link, key uint64, done func(now time.Duration, why string))
	// close ends a flow as its client does.
	close(now time.Duration, l *link)
	// datagram sends a datagram from a client's own socket and waits for the answer; nil is silence until the wait is over.
	// alter is told when endpoints came or went, and how nodes fare.
	alter(now time.Duration) error
	// next is when something of the world's own is due; false when nothing is.
	next() (time.Duration, bool)
	// advance does all that is due up to and including a time, which is not before the last one.
	advance(to time.Duration) error
	// end frees what the world holds.
	end()
}

// opened is what opening a flow came to.
type opened struct {
	replay.Outcome
	flow traffic.Flow // with the destination that it was sent to
	site *site        // the node that it came to; nil for none
	drew bool         // chance decided who answers
	conn any          // of the world's own; nil unless it was answered
}

// replayWorld walks flows through bare nodes: no time passes but for what clients wait.
type replayWorld struct{ *engine }

// open sends a connection's first packet; one that is not heard of is sent again as long as the client waits, each time after
// twice the wait before (net/ipv4/tcp_timer.c, tcp_retransmit_timer).
func (w replayWorld) open(now time.Duration, f traffic.Flow, done func(time.Duration, opened)) {
	w.try(now, f, 0, done)
}

func (w replayWorld) try(now time.Duration, f traffic.Flow, try int, done func(time.Duration, opened)) {
	t, proto := &w.scenario.Spec.Traffic[f.Group], w.groups[f.Group].Proto
	w.source.at(attemptKey(f, try))
	st, dst := w.entry(&f)
	r := opened{flow: f, site: st}
	r.flow.Dst = dst
	switch {
	case st == nil:
		r.Reason = "the balancer knows of no node"
	case st.lost:
		r.Reason = "node " + st.Host.Name + " is lost"
	default:
		o, c := st.world.Open(now, replay.Flow{Proto: proto, Src: f.Src, Dst: dst, NoReply: t.NoReply})
		if r.Outcome = o; c != nil {
			r.conn = c
		}
	}
	r.drew = w.source.drew
	if r.Result == replay.TimedOut && t.ConnectTimeout.Duration > 0 && proto == packet.TCP {
		wait := time.Second << try
		if now+wait-f.At < t.ConnectTimeout.Duration {
			w.pending.Add(w.keyOf(now+wait, f.Number), func(now time.Duration) error {
				w.try(now, f, try+1, done)
				return nil
			})
			return
		}
		now = f.At + t.ConnectTimeout.Duration
	}
	done(now, r)
}

// attemptKey keys the chance of a connection's first packet, and of those sent again.
func attemptKey(f traffic.Flow, try int) uint64 { return uint64(f.Number) | uint64(try)<<48 }

func (w replayWorld) exchange(now time.Duration, l *link, key uint64, done func(time.Duration, string)) {
	if l.site.lost {
		done(now, "node "+l.site.Host.Name+" is lost")
		return
	}
	w.source.at(key)
	done(now, l.site.world.Exchange(now, l.conn.(*replay.Conn), requestBytes, replyBytes))
}

// What a request and its answer hold, beside headers.
const requestBytes, replyBytes = 100, 1000

func (w replayWorld) close(now time.Duration, l *link) {
	if !l.site.lost {
		l.site.world.Close(now, l.conn.(*replay.Conn))
	}
}

func (replayWorld) alter(time.Duration) error   { return nil }
func (replayWorld) next() (time.Duration, bool) { return 0, false }
func (replayWorld) advance(time.Duration) error { return nil }
func (replayWorld) end()                        {}

// presence says what stands at an address, as seen from a node: endpoints answer as long as they are there.
func (e *engine) presence(st *site, at netip.AddrPort, proto packet.Protocol) replay.Presence {
	here, known := e.known[target{at, proto}]
	switch {
	case e.dead[at.Addr()]:
		return replay.Absent
	case here:
		return replay.Listening
	case !known && st.Node.Routes.IsLocal(at.Addr()):
		if e.isHostPort(at.Port()) {
			return replay.Listening
		}
		return replay.Closed
	}
	return replay.Absent
}
