package datapath

import (
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath/conntrack"
	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/journal"
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/route"
)

// Node is one Linux node: a Program, the connections that packets leave behind, and the walk of packets through them. One
// goroutine owns a Node; it calls Advance before each event.
type Node struct {
	*Program
	Profile Profile
	Conns   *conntrack.Table

	families [2]family // IPv4, IPv6
	recent   *iptables.RecentStore
	limits   *iptables.HashLimitStore
	walk     netfilter.Walk
	answer   packet.Packet
	scratch  journal.Journal
	// answering is true while the node sends an answer of its own: answers are not answered.
	answering bool
	taken     ipvs.Result // what IPVS said of the packet it took over last
	tap       *Tap
	between   func() // what another processor does before the packet's connection is confirmed; nil for nothing
}

// family is the part of a node that exists once for each IP version: its rules made ready to walk.
type family struct {
	linked   *iptables.Linked
	walked   *iptables.Ruleset // what linked was made from
	tracking bool              // connection tracking is active: some rule needs it
	path     [netfilter.NumHooks][]func(*Node, *packet.Packet) netfilter.Verdict
}

// NewNode returns a node without rules. The routes are the node's own from now on. Chance must be set with SetSource
// before the first packet.
func NewNode(p Profile, routes *route.Table) *Node {
	n := &Node{
		Program: NewProgram(routes, p.IPVS),
		Profile: p,
		Conns: conntrack.NewTable(conntrack.Config{
			Max: p.ConntrackMax, TCPLoose: p.TCPLoose, TCPBeLiberal: p.TCPBeLiberal, TimeWaitReuse: p.TimeWaitReuse, ClashDrops: p.ClashDrops,
		}),
		recent: iptables.NewRecentStore(),
		limits: iptables.NewHashLimitStore(),
	}
	n.walk.Route = routes
	n.walk.IPVS = n.IPVS
	n.walk.Sets = n.Sets
	n.IPVS.Dropped = func(t packet.Tuple) {
		if c, _ := n.Conns.Lookup(n.IPVS.Now(), t); c != nil {
			n.Conns.Kill(c, n.walk.Journal)
		}
	}
	for i := range n.families {
		if err := n.link(i); err != nil {
			panic("datapath: an empty rule set does not link: " + err.Error())
		}
	}
	return n
}

func (n *Node) family(f packet.Family) *family { return &n.families[index(f)] }

// Linked returns a family's linked rule set with its live counters.
func (n *Node) Linked(f packet.Family) *iptables.Linked { return n.family(f).linked }

// Recent returns the node's lists of -m recent, which both families share.
func (n *Node) Recent() *iptables.RecentStore { return n.recent }

// SetSource sets where chance comes from and returns the source before.
func (n *Node) SetSource(s netfilter.Source) netfilter.Source {
	old := n.walk.Source
	n.walk.Source = s
	return old
}

// SetTrace sets where steps are recorded; nil for nowhere.
func (n *Node) SetTrace(t *netfilter.Trace) { n.walk.Trace = t }

// Advance moves virtual time to now, running every timer on the way. Expiry changes what later packets meet.
func (n *Node) Advance(now time.Duration) {
	n.Conns.Advance(now, n.walk.Journal)
	n.IPVS.Advance(now)
}

// Undo runs f and takes back every change that packets made to the node meanwhile. It nests.
func (n *Node) Undo(f func()) {
	outer := n.walk.Journal
	n.walk.Journal = &n.scratch
	mark := n.scratch.Mark()
	defer func() {
		n.walk.Journal = outer
		n.scratch.RollbackTo(mark)
	}()
	f()
}

// Fate is how a packet's walk ended.
type Fate uint8

// The fates. The zero value is Dropped.
const (
	Dropped   Fate = iota // nobody is told
	Rejected              // the sender is told; Disposition.Answer is the packet that tells it
	Forwarded             // sent out by an interface
	Delivered             // given to a local socket
)

func (f Fate) String() string {
	return [...]string{"drop", "reject", "forward", "local"}[f]
}

// Disposition is what became of a packet. The packet itself was rewritten in place.
type Disposition struct {
	Fate    Fate
	Out     string         // interface of a forwarded packet
	NextHop netip.Addr     // where a packet that IPVS forwards goes; invalid: to its own destination
	Reason  string         // why a packet was dropped outside any rule
	Answer  *packet.Packet // what the sender of a rejected packet gets, as it leaves the node; valid until the next packet
	With    netfilter.Rejection
	Conn    *conntrack.Conn
	// Masqueraded says that a rule translates the source of the packet's connection, be it to the address it has already.
	Masqueraded bool
	Work        netfilter.Work
	Problem     error // an UnsupportedError of a rule that the walk would have needed
}

// Receive walks a packet that arrived on an interface.
func (n *Node) Receive(now time.Duration, in string, p *packet.Packet) (d Disposition) {
	n.begin(now, in)
	n.arrive(p, &d)
	n.finish(p, &d)
	return d
}

// Send walks a packet that a local socket sends.
func (n *Node) Send(now time.Duration, p *packet.Packet) (d Disposition) {
	n.begin(now, "")
	n.depart(p, &d)
	n.finish(p, &d)
	return d
}

func (n *Node) begin(now time.Duration, in string) {
	w := &n.walk
	if w.Source == nil {
		panic("datapath: a packet before SetSource")
	}
	w.Now, w.In, w.Out = now, in, ""
	w.Conn, w.Info, w.NoTrack = nil, conntrack.Untracked, false
	w.Rejection, w.Work, w.Unmodelled = netfilter.Rejection{}, netfilter.Work{}, nil
	if n.tap != nil {
		n.tap.begin(w)
	}
}

// finish fills in what every disposition carries and lets go of a connection that was never confirmed.
func (n *Node) finish(p *packet.Packet, d *Disposition) {
	w := &n.walk
	d.Conn, d.Work, d.Problem = w.Conn, w.Work, w.Unmodelled
	d.Masqueraded = w.Conn != nil && (w.Conn.IsSNAT() || w.Conn.MasqueradeOut != "")
	if d.Fate == Dropped || d.Fate == Rejected {
		d.With = w.Rejection
		if w.Conn != nil && !w.Conn.Status.Has(conntrack.Confirmed) {
			n.Conns.Release(w.Conn, w.Journal)
			d.Conn = nil
		}
	}
	if w.Trace != nil {
		w.Trace.Add(netfilter.Step{Hook: w.Hook, Kind: netfilter.StepDeliver, Result: d.describe()})
	}
	if n.tap != nil {
		told := *d // a copy: without a tap, no walk costs memory
		n.tap.end(w, p, &told)
	}
}

func (d *Disposition) describe() string {
	switch d.Fate {
	case Forwarded:
		return "out by " + d.Out
	case Delivered:
		return "to a local socket"
	case Rejected:
		return "rejected with " + d.With.With
	}
	if d.Problem != nil {
		return "stopped: " + d.Problem.Error()
	}
	if d.Reason != "" {
		return "dropped: " + d.Reason
	}
	return "dropped by a rule"
}
