package run

import (
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/netstack"
	"github.com/svclab/svclab/sim/replay"
	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/scenario"
	"github.com/svclab/svclab/sim/seed"
	"github.com/svclab/svclab/sim/traffic"
)

// stackWorld runs flows through TCP and UDP stacks around the modelled nodes, in virtual time: clients, endpoints and the nodes
// themselves are hosts of one netstack.Fabric, and every packet between them walks the nodes it passes.
//
// Unlike the replay world it knows how long things take, sends lost packets again, and lets the endpoint's own node walk what
// comes to it. Chance is keyed as there: by the flow that a packet belongs to, and by what is asked on it.
type stackWorld struct {
	*engine
	fabric   *netstack.Fabric
	nodes    map[*site]*netstack.Node
	sites    map[*netstack.Node]*site
	hosts    map[netip.Addr]*netstack.Host // all but the nodes' own
	served   map[target]listening
	shared   map[shareKey]*netstack.Server // servers of endpoints with several ports
	services map[target]string             // of endpoints
	straying *seed.Keyed                   // of segments out of the window
	given    map[target]bool               // endpoints of a node that was loaded from a dump: wherever its rules send traffic

	tuples  map[packet.Tuple]*stackFlow // by the tuples that its packets can enter a node with
	retired []*stackFlow                // a ring: packets of flows that are over may still be on their way
	oldest  int
	sockets map[socketKey]*stackSocket

	busy    int           // things asked for that are not done
	touched time.Duration // when something was asked for or done last
}

// stackFlow is what the world knows of one flow: how chance is keyed for its packets, and what became of the first.
type stackFlow struct {
	number         int64
	site           *site // the node whose rules choose
	proto          packet.Protocol
	src, dst       netip.AddrPort
	key            uint64 // of the chance of its next packet
	try            int    // SYNs that went before
	flow           *traffic.Flow
	path           *report.Path // of a flow that is followed
	what           string       // that the path calls it
	together       bool         // two processors take up its first two packets at once
	watched        func() []string
	known          bool // the first packet has walked
	drew           bool
	first          datapath.Disposition
	endpoint, seen netip.AddrPort
	answers        packet.Tuple // what its answers come with
}

// retiredFlows is how many flows are remembered after their end.
const retiredFlows = 1 << 13

// lull is how long packets go on when nothing is asked for any more: closing handshakes end, retransmissions without end do not.
const lull = time.Second

// newStackWorld makes the hosts of a run.
func newStackWorld(e *engine) (*stackWorld, error) {
	w := &stackWorld{
		engine: e, nodes: map[*site]*netstack.Node{}, sites: map[*netstack.Node]*site{}, hosts: map[netip.Addr]*netstack.Host{},
		served: map[target]listening{}, shared: map[shareKey]*netstack.Server{}, given: map[target]bool{},
		straying: seed.Root(e.seed).Keyed("strays"), tuples: map[packet.Tuple]*stackFlow{}, retired: make([]*stackFlow, retiredFlows), sockets: map[socketKey]*stackSocket{},
	}
	for i := range e.groups {
		if e.groups[i].Proto == packet.SCTP {
			t := &e.scenario.Spec.Traffic[i]
			return nil, &WorldError{World: WorldNetstack, What: "SCTP", At: e.scenario.Errorf(t.At, "traffic %s is SCTP", t.Name)}
		}
	}
	w.fabric = netstack.New(netstack.Options{
		Root: seed.Root(e.seed), Link: w.link(netip.Addr{}, linkPods), Before: w.before, After: w.after, Entry: w.entryOf,
		TimeWait: w.timeWait(), Together: w.together,
	})
	for _, st := range e.sites {
		n := w.fabric.AddNode(st.Host, st.Node)
		w.nodes[st], w.sites[n] = n, st
		if l := e.scenario.Spec.Links; l != nil && l.Nodes != nil {
			n.SetLink(linkOf(l.Nodes, defaultDelay))
		}
		for _, port := range e.scenario.Spec.HostPorts {
			for _, proto := range []packet.Protocol{packet.TCP, packet.UDP} {
				if err := w.listen(n.Host(), target{netip.AddrPortFrom(netip.Addr{}, uint16(port)), proto}, nil); err != nil {
					w.fabric.Close()
					return nil, err
				}
			}
		}
	}
	err := w.outsiders()
	if err == nil && e.subject.IsDump() {
		err = w.endpointsOfDump()
	}
	if err == nil {
		err = w.alter(0)
	}
	if err != nil {
		w.fabric.Close()
		return nil, err
	}
	return w, nil
}

// timeWait is how long a client's port rests after a connection: Linux's minute where segments may be lost or late. Where no wire
// loses anything or is long, none is on its way a second later, and a minute would take memory alone. Clients that use a few ports in
// turn do so with net.ipv4.tcp_tw_reuse = 1, for which a second is enough (net/ipv4/tcp_ipv4.c, tcp_twsk_unique).
func (w *stackWorld) timeWait() time.Duration {
	for i := range w.scenario.Spec.Traffic {
		if w.scenario.Spec.Traffic[i].Ports > 0 {
			return time.Second
		}
	}
	l := w.scenario.Spec.Links
	if l == nil {
		return time.Second
	}
	all := []*scenario.Link{l.Pods, l.Endpoints, l.Outside, l.Nodes}
	for i := range l.Hosts {
		all = append(all, &l.Hosts[i].Link)
	}
	for _, x := range all {
		if x != nil && (x.Loss.Rat != nil && x.Loss.Sign() > 0 || x.Bandwidth > 0 || x.Delay.Duration+x.Jitter.Duration > 50*time.Millisecond) {
			return 0
		}
	}
	return time.Second
}

func (w *stackWorld) name() string    { return WorldNetstack }
func (w *stackWorld) takesTime() bool { return true }
func (w *stackWorld) end()            { w.fabric.Close() }

// next is when the fabric has something to do. When nothing is asked for and nothing is to come, what stacks still say to each
// other is heard for a while.
func (w *stackWorld) next() (time.Duration, bool) {
	at, ok := w.fabric.Next()
	if ok && w.busy == 0 && w.drained && w.pending.Len() == 0 && at > w.touched+lull {
		return 0, false
	}
	return at, ok
}

func (w *stackWorld) advance(to time.Duration) error {
	w.fabric.Advance(to)
	return w.fault
}

// asked and done count what is under way.
func (w *stackWorld) begin(now time.Duration) { w.busy, w.touched = w.busy+1, now }
func (w *stackWorld) done(now time.Duration)  { w.busy, w.touched = w.busy-1, now }

// patience is how long a client waits for an answer.
func (w *stackWorld) patience(group int) time.Duration {
	if d := w.scenario.Spec.Traffic[group].RequestTimeout.Duration; d > 0 {
		return d
	}
	return defaultPatience
}

// openTimeout is how long a client waits for a connection. One that sends its SYN once is not there any more when the second would
// be due.
func (w *stackWorld) openTimeout(group int) time.Duration {
	switch d := w.scenario.Spec.Traffic[group].ConnectTimeout.Duration; {
	case d > 0:
		return d
	case w.groups[group].Proto == packet.TCP:
		return sendsOnce
	}
	return w.patience(group)
}

const (
	defaultPatience = time.Second
	sendsOnce       = 900 * time.Millisecond // TCP sends a SYN again after 1 s (RFC 6298, section 2)
)

// open opens a connection by a handshake, or a datagram flow by a datagram.
func (w *stackWorld) open(now time.Duration, f traffic.Flow, done func(time.Duration, opened)) {
	t, proto := &w.scenario.Spec.Traffic[f.Group], w.groups[f.Group].Proto
	st, dst := w.entry(&f)
	f.Dst = dst
	if st == nil {
		w.begin(now)
		w.pending.Add(w.keyOf(now+w.openTimeout(f.Group), f.Number), func(at time.Duration) error {
			w.done(at)
			done(at, opened{flow: f, Outcome: replay.Outcome{Reason: "the balancer knows of no node"}})
			return nil
		})
		return
	}
	fl := &stackFlow{number: f.Number, site: st, proto: proto, src: f.Src, dst: dst, key: attemptKey(f, 0), flow: &f, path: w.follow.of(f.Number), what: "%s connects to %s"}
	w.add(fl)
	w.begin(now)
	ended := func(now time.Duration, r replay.Result, conn any) {
		w.done(now)
		if conn == nil {
			w.retire(fl)
		}
		done(now, w.opened(fl, r, conn))
	}
	host := w.client(f.Src.Addr(), st)
	if proto == packet.UDP {
		w.openUDP(now, host, fl, t, ended)
		return
	}
	err := host.Open(netstack.Open{
		Flow: f.Number, Proto: proto, Src: f.Src, Dst: dst, Timeout: w.openTimeout(f.Group), Patience: w.patience(f.Group),
	}, func(now time.Duration, r replay.Result, c *netstack.Conn) {
		if c == nil {
			ended(now, r, nil)
			return
		}
		ended(now, r, &stackConn{fl: fl, tcp: c})
	})
	if err != nil {
		w.done(now)
		w.retire(fl)
		o := w.opened(fl, replay.Unreachable, nil)
		o.Reason = err.Error()
		done(now, o)
	}
}

// stackConn is an open connection, or a datagram flow on a socket.
type stackConn struct {
	fl  *stackFlow
	tcp *netstack.Conn
	udp *stackSocket
}

// opened is what opening a flow came to, from what nodes did with its first packet.
func (w *stackWorld) opened(fl *stackFlow, r replay.Result, conn any) opened {
	o := opened{flow: *fl.flow, site: fl.site, drew: fl.drew, conn: conn}
	o.First, o.Result = fl.first, r
	o.Endpoint, o.Seen = fl.endpoint, fl.seen
	o.Translated = fl.endpoint.IsValid() && fl.endpoint != fl.dst
	if r == replay.Answered {
		return o
	}
	switch d := &fl.first; {
	case !fl.known:
		o.Reason = "no packet of it came to a node"
		if fl.site.lost {
			o.Reason = "node " + fl.site.Host.Name + " is lost"
		}
	case d.Fate == datapath.Dropped:
		if o.Reason = d.Reason; o.Reason == "" {
			o.Reason = "dropped by a rule"
		}
	case d.Fate == datapath.Rejected:
		o.Reason = "rejected with " + d.With.With
	case r == replay.Refused:
		o.Reason = "nothing listens at " + fl.endpoint.String()
	default:
		o.Reason = "no answer from " + fl.endpoint.String()
	}
	return o
}

func (w *stackWorld) exchange(now time.Duration, l *link, key uint64, done func(time.Duration, string)) {
	c := l.conn.(*stackConn)
	c.fl.key = key
	request, reply := sizes(&w.scenario.Spec.Traffic[l.flow.Group])
	w.begin(now)
	ended := func(now time.Duration, why string) {
		w.done(now)
		done(now, why)
	}
	if c.udp != nil {
		w.exchangeUDP(now, c, l, request, reply, ended)
		return
	}
	w.stray(c.fl)
	c.tcp.Exchange(request, reply, ended)
}

func (w *stackWorld) close(now time.Duration, l *link) {
	c := l.conn.(*stackConn)
	w.touched = now
	if c.udp != nil {
		w.release(c.udp)
	} else {
		c.tcp.Close()
	}
	w.retire(c.fl)
}
