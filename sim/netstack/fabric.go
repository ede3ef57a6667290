package netstack

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/seed"
	"github.com/svclab/svclab/sim/vtime"
)

// Options is how a Fabric is made. The zero value is virtual time from 0, links that take no time, and the seed 0.
type Options struct {
	Root seed.Root // of the named streams: each stack's random sources, each link's loss and jitter, service times
	Link Link      // of every host that AddHost is not told another for
	Live bool      // wall clock, and a goroutine of its own that moves packets; else virtual time, moved by Advance

	// Checksums lets stacks compute and verify transport checksums. Without it they are left out between stacks, where nothing
	// can spoil them, and filled in where bytes leave the process.
	Checksums bool
	// TimeWait is how long a closed connection keeps its ports; 0: 60 s, as Linux does (TCP_TIMEWAIT_LEN).
	TimeWait time.Duration

	// Before is called just before a node walks a packet, with the interface it came in by, "" for the node's own packets.
	Before func(n *Node, in string, p *packet.Packet)
	// After is called just after, with the packet as it came and as it is now. Node.Bytes has its bytes.
	After func(n *Node, in string, was, is *packet.Packet, d *datapath.Disposition)
	// Together says whether two processors take up two datagrams of one socket that reach a node in one instant, so that both meet
	// its rules before either's connection is confirmed; nil: one after the other.
	Together func(n *Node, in string, p *packet.Packet) bool
	// Entry says which node a packet from a machine outside comes to; nil, or a nil answer: the node that has the destination,
	// else the first.
	Entry func(p *packet.Packet) *Node
}

// Fabric is one universe of hosts, nodes and links, with a clock. In virtual time everything is called from one goroutine, the
// pump; with Options.Live, from functions given to Do, or the methods that say otherwise.
type Fabric struct {
	o     Options
	clock virtualClock
	now   time.Duration
	stats Stats

	hosts []*Host
	made  int // hosts so far
	nodes []*Node
	at    map[netip.Addr]*Host
	flows flows

	mu    sync.Mutex // guards what gVisor's goroutines touch: the three below
	out   []*item
	woken []*socket
	free  []*item

	soon, later []*item // due now, in no order; due later, a heap
	batch       []*item
	spare       []*item // the out list of the round before, to be filled again
	awake       []*socket
	dirty       []*Host
	sequence    int64
	sockets     int64
	service     *seed.Keyed
	requests    uint64 // of flows without a number
	current     int64  // flow of the packet being walked

	entering packet.Packet // the packet that comes from outside
	reader   bytes.Reader
	read     counter

	live *pump
}

// New returns an empty Fabric.
func New(o Options) *Fabric {
	f := &Fabric{o: o, at: map[netip.Addr]*Host{}}
	f.flows.init()
	f.service = o.Root.Keyed("service times")
	if o.Live {
		f.startPump()
	}
	return f
}

// Close ends every stack and, in live mode, the pump. Connections vanish without a word. A second
// call does nothing.
func (f *Fabric) Close() {
	if f.live != nil {
		f.live.stop()
	}
	for _, h := range f.hosts {
		h.close()
	}
}

// Stats returns the counters as they stand.
func (f *Fabric) Stats() Stats {
	s := f.stats
	for _, h := range f.hosts {
		s.Stacks.count(h)
	}
	return s
}

// Now is the time since the Fabric was made: virtual, or in live mode elapsed.
// It is for any goroutine in live mode.
func (f *Fabric) Now() time.Duration {
	if f.live != nil {
		return time.Since(f.live.start)
	}
	return f.now
}

// Flow is the number of the flow whose packet is being walked, for use in Options.Before and After: that of Open, or a hash of
// the addresses, above 1<<62, for flows that nobody opened with a number.
func (f *Fabric) Flow() int64 { return f.current }

// At runs a function when its time comes, in the order of its key; one in the past runs at once when time next moves.
func (f *Fabric) At(k vtime.Key, do func()) {
	it := f.item()
	it.at, it.flow, it.sequence, it.do = max(k.At, f.now), k.Flow, int64(k.Sequence), do
	f.schedule(it)
}

// item is something that is due: a caller's function, or a packet that arrives at a node or at a stack.
type item struct {
	at       time.Duration
	flow     int64
	sequence int64
	fl       *flow // of a packet, if the flow has a number
	do       func()
	pkt      *stack.PacketBuffer
	from     *Host  // the stack that sent it, while it is in the out list; the stack it goes to, else
	to       *Host  // arrives at this stack
	node     *Node  // arrives at this node, by interface in
	in       string //
	hops     uint8
	icmp     bool // an ICMP error
	stray    bool // a segment out of its connection's window
	largest  int  // fragment that it came in, in bytes; 0 when it came whole
}

func (a *item) compare(b *item) int {
	if a.at != b.at {
		return cmp.Compare(a.at, b.at)
	}
	if a.flow != b.flow {
		return cmp.Compare(a.flow, b.flow)
	}
	if (a.do != nil) != (b.do != nil) {
		if a.do != nil {
			return -1
		}
		return 1
	}
	return cmp.Compare(a.sequence, b.sequence)
}

// item takes a blank one; the pool keeps packets from costing an allocation each.
func (f *Fabric) item() *item {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.itemLocked()
}

func (f *Fabric) itemLocked() *item {
	if n := len(f.free); n > 0 {
		it := f.free[n-1]
		f.free = f.free[:n-1]
		return it
	}
	return new(item)
}

const spareItems = 1 << 14

func (f *Fabric) release(it *item) {
	*it = item{}
	f.mu.Lock()
	if len(f.free) < spareItems {
		f.free = append(f.free, it)
	}
	f.mu.Unlock()
}

func (f *Fabric) schedule(it *item) {
	if it.at <= f.now {
		f.soon = append(f.soon, it)
		return
	}
	f.later = append(f.later, it)
	for i := len(f.later) - 1; i > 0; {
		parent := (i - 1) / 2
		if f.later[parent].compare(f.later[i]) <= 0 {
			break
		}
		f.later[i], f.later[parent] = f.later[parent], f.later[i]
		i = parent
	}
}

func (f *Fabric) takeLater() *item {
	it, last := f.later[0], len(f.later)-1
	f.later[0] = f.later[last]
	f.later[last] = nil
	f.later = f.later[:last]
	for i := 0; ; {
		least := 2*i + 1
		if least >= last {
			break
		}
		if right := least + 1; right < last && f.later[right].compare(f.later[least]) < 0 {
			least = right
		}
		if f.later[i].compare(f.later[least]) <= 0 {
			break
		}
		f.later[i], f.later[least] = f.later[least], f.later[i]
		i = least
	}
	return it
}

// Next is when something is due: a packet, a timer of a stack, or a function given to At; ok is false when nothing is.
func (f *Fabric) Next() (at time.Duration, ok bool) {
	f.gather()
	if len(f.soon) > 0 {
		return f.now, true
	}
	at, ok = f.clock.next()
	if len(f.later) > 0 && (!ok || f.later[0].at < at) {
		return f.later[0].at, true
	}
	return at, ok
}

// Advance does everything that is due up to and including to, in the order of time, then flow, then sequence, and moves time
// there. What one instant causes in the same instant is done in rounds, each in that order.
func (f *Fabric) Advance(to time.Duration) {
	if f.live != nil {
		panic("netstack: Advance of a live fabric")
	}
	for {
		at, ok := f.Next()
		if !ok || at > to {
			break
		}
		f.setNow(max(at, f.now))
		f.round()
	}
	f.setNow(max(to, f.now))
}

func (f *Fabric) setNow(now time.Duration) {
	if f.now != now {
		f.now = now
		f.clock.set(now)
	}
}

// round does what is due now and gathers what comes of it.
func (f *Fabric) round() {
	for t := f.clock.take(); t != nil; t = f.clock.take() {
		f.barrier()
		t.do()
	}
	f.barrier()
	f.wake()
	f.gather()
	f.batch, f.soon = f.soon, f.batch[:0]
	for len(f.later) > 0 && f.later[0].at <= f.now {
		f.batch = append(f.batch, f.takeLater())
	}
	slices.SortFunc(f.batch, (*item).compare)
	for i, it := range f.batch {
		f.batch[i] = nil
		if i+1 < len(f.batch) {
			f.beside(it, f.batch[i+1])
		}
		f.perform(it)
	}
	f.barrier()
	f.wake()
	f.gather()
}

func (f *Fabric) perform(it *item) {
	switch {
	case it.do != nil:
		f.barrier()
		do := it.do
		f.release(it)
		do()
	case it.node != nil:
		f.walk(it)
	default:
		f.deliver(it)
	}
}

// barrier lets the goroutines of gVisor's TCP do everything that the packets delivered so far ask of them, in every stack that
// got one. In virtual time they are paused at all other times: what they find in their queues when they run is then the same in
// every run, and so is what they make of several segments at once. They acknowledge the next pause only with their queues empty,
// and queue work for no other stack.
func (f *Fabric) barrier() {
	for _, h := range f.dirty {
		if !h.gone {
			h.tcp.Resume()
			h.tcp.Pause()
		}
		h.dirty = false
	}
	f.dirty = f.dirty[:0]
}

// wake lets the sockets that a stack reported act, by flow and then by age.
func (f *Fabric) wake() {
	for {
		f.mu.Lock()
		f.awake, f.woken = f.woken, f.awake[:0]
		for _, s := range f.awake {
			s.queued = false
		}
		f.mu.Unlock()
		if len(f.awake) == 0 {
			return
		}
		slices.SortFunc(f.awake, (*socket).compare)
		for i, s := range f.awake {
			f.awake[i] = nil
			s.act.ready()
		}
	}
}

// gather takes what stacks have sent, gives it its place in the order, and puts it on its way.
func (f *Fabric) gather() {
	f.mu.Lock()
	out := f.out
	f.out = f.spare[:0]
	f.mu.Unlock()
	f.spare = out
	for _, it := range out {
		it.at = f.now
		f.flowOf(it)
	}
	slices.SortStableFunc(out, func(a, b *item) int { return cmp.Compare(a.flow, b.flow) })
	for i, it := range out {
		out[i] = nil
		f.sequence++
		it.sequence = f.sequence
		stray := f.strayOf(it)
		f.depart(it)
		if stray != nil {
			f.depart(stray)
		}
	}
}
