package run

import (
	"cmp"
	"math/big"
	"net/netip"
	"slices"
	"time"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/dns"
	"github.com/svclab/svclab/sim/replay"
	"github.com/svclab/svclab/sim/scenario"
	"github.com/svclab/svclab/sim/traffic"
)

// world is where the packets of a run go. What it is asked for takes virtual time, and ends in a call of done: before the asking
// returns where nothing takes time, else when its own events have come so far.
//
// Chance is keyed by the flow and by what is asked on it, so that two worlds draw alike whatever order they work in.
type world interface {
	name() string
	// takesTime reports whether what is asked for takes time.
	takesTime() bool
	// open opens a flow for its client. conn is nil unless it was answered.
	open(now time.Duration, f traffic.Flow, done func(now time.Duration, o opened))
	// exchange sends one request and waits for its answer; why is "" when it came. key is the flow's number with what is asked.
	exchange(now time.Duration, l *link, key uint64, done func(now time.Duration, why string))
	// close ends a flow as its client does.
	close(now time.Duration, l *link)
	// ask sends what a client asks name servers, and waits for the answers: nil for those that have not come when the wait is over.
	ask(now time.Duration, q query, done func(now time.Duration, answers [][]byte))
	// alter is told when endpoints came or went, and how nodes fare.
	alter(now time.Duration) error
	// next is when something of the world's own is due; false when nothing is.
	next() (time.Duration, bool)
	// advance does all that is due up to and including a time, which is not before the last one.
	advance(to time.Duration) error
	// end frees what the world holds.
	end()
}

// The worlds that a scenario can be run in, beside a kernel.
const (
	WorldReplay   = "replay"   // bare nodes, in which no time passes
	WorldNetstack = "netstack" // TCP and UDP stacks around the nodes
)

// leftOut lists what a scenario says that its world does not have.
func (e *engine) leftOut() (out []string) {
	if e.world.takesTime() {
		return nil
	}
	sp, name := &e.scenario.Spec, e.world.name()
	kernel := e.options.applied != nil
	if kernel {
		name = "kernel"
	}
	say := func(field string) {
		out = append(out, "the "+name+" world has no "+field+": --world "+WorldNetstack+" does")
	}
	if sp.Links != nil {
		say("links")
	}
	if len(sp.Servers) > 0 {
		say("servers (how endpoints answer)")
	}
	for i := range sp.Traffic {
		t := &sp.Traffic[i]
		if t.RequestTimeout.Duration > 0 {
			say("requestTimeout (traffic " + t.Name + ")")
		}
		if kernel && t.To.Name.Value != "" {
			say("lookups (traffic " + t.Name + " goes to " + e.groups[i].To.Addr().String() + ", which " + t.To.Name.Value + " stands for before the run)")
		}
	}
	return out
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
	w.try(now, now, f, 0, done)
}

func (w replayWorld) try(began, now time.Duration, f traffic.Flow, try int, done func(time.Duration, opened)) {
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
		stop := w.follow.first(f, st, now)
		o, c := st.world.Open(now, replay.Flow{Proto: proto, Src: f.Src, Dst: dst, NoReply: t.NoReply})
		stop()
		if r.Outcome = o; c != nil {
			r.conn = c
		}
	}
	r.drew = w.source.drew
	if r.Result == replay.TimedOut && t.ConnectTimeout.Duration > 0 && proto == packet.TCP {
		wait := time.Second << try
		if now+wait-began < t.ConnectTimeout.Duration {
			w.pending.Add(w.keyOf(now+wait, f.Number), func(now time.Duration) error {
				w.try(began, now, f, try+1, done)
				return nil
			})
			return
		}
		now = began + t.ConnectTimeout.Duration
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
	request, reply := sizes(&w.scenario.Spec.Traffic[l.flow.Group])
	done(now, l.site.world.Exchange(now, l.conn.(*replay.Conn), uint32(request), uint32(reply)))
}

// What a request and its answer hold, beside headers.
const requestBytes, replyBytes = 100, 1000

// sizes are the bytes of a traffic's requests and of their answers.
func sizes(t *scenario.Traffic) (request, reply int) {
	return cmp.Or(t.RequestBytes, requestBytes), cmp.Or(t.ReplyBytes, replyBytes)
}

// ask walks the messages through the node, and their answers back.
func (w replayWorld) ask(now time.Duration, q query, done func(time.Duration, [][]byte)) {
	answers := make([][]byte, len(q.asks))
	if q.site == nil || q.site.lost {
		done(now+q.wait, answers)
		return
	}
	for i := 0; i < len(q.asks); i++ {
		a := &q.asks[i]
		f := replay.Flow{Proto: packet.UDP, Src: q.src[i], Dst: netip.AddrPortFrom(a.Server, 53)}
		if a.Transport == dns.TCP {
			f.Proto = packet.TCP
		}
		w.source.at(q.key(i))
		n := 1
		if i+1 < len(q.asks) && a.Transport == dns.UDP && q.src[i+1] == q.src[i] && q.asks[i+1].Server == a.Server && w.together(q, i) {
			n = 2
		}
		var came []replay.Outcome
		if f.Proto == packet.UDP {
			stop := w.follow.query(q.flow, q.site, now, f)
			came = q.site.world.Datagrams(now, f, n)
			stop()
		} else {
			came = []replay.Outcome{w.message(now, q.site, f)}
		}
		for k, o := range came {
			if o.Result == replay.Answered {
				answers[i+k] = w.answer(o.Endpoint.Addr(), a.Transport, q.asks[i+k].Message)
			}
		}
		i += n - 1
	}
	if slices.ContainsFunc(answers, func(b []byte) bool { return b == nil }) {
		now += q.wait
	}
	done(now, answers)
}

// message opens a connection for one message, and closes it.
func (w replayWorld) message(now time.Duration, st *site, f replay.Flow) replay.Outcome {
	o, c := st.world.Open(now, f)
	if c != nil {
		if why := st.world.Exchange(now, c, requestBytes, replyBytes); why != "" {
			o.Result, o.Reason = replay.TimedOut, why
		}
		st.world.Close(now, c)
	}
	return o
}

// together decides by chance whether two processors take up two messages that a socket sends at once.
func (e *engine) together(q query, i int) bool {
	k := e.scenario.Spec.Kernel
	if k == nil || k.Together.Rat == nil || k.Together.Sign() == 0 {
		return false
	}
	p := new(big.Int).Mul(k.Together.Num(), big.NewInt(1<<31))
	e.racing.At(q.key(i))
	return e.racing.Chance(uint32(p.Quo(p, k.Together.Denom()).Uint64()))
}

func (w replayWorld) close(now time.Duration, l *link) {
	if !l.site.lost {
		l.site.world.Close(now, l.conn.(*replay.Conn))
	}
}

func (replayWorld) name() string                { return WorldReplay }
func (replayWorld) takesTime() bool             { return false }
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
	case e.isOutside(at.Addr()):
		return e.naming.presence(at)
	case !known && st.Node.Routes.IsLocal(at.Addr()):
		if e.isHostPort(at.Port()) {
			return replay.Listening
		}
		return replay.Closed
	}
	return replay.Absent
}
