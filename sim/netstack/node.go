package netstack

import (
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/replay"
)

// Node is a modelled node in the Fabric: a datapath.Node that every packet by way of it walks, and the stack of its own
// addresses, which host-network Pods share.
type Node struct {
	f    *Fabric
	host replay.Host
	dp   *datapath.Node
	own  *Host

	p, was packet.Packet // the packet being walked, and as it came
	fate   datapath.Disposition
	next   *item // what is walked together with it; nil for nothing
	pair   pair  // and what became of that
	lay    layout
	pkt    *stack.PacketBuffer
	said   *stack.PacketBuffer // the node's answer to it
	frags  defrag

	fragmentID uint32
	advanced   time.Duration // to when its timers have run
}

// AddNode adds a modelled node with the addresses of its host. A nil datapath.Node passes everything on untouched: what the
// stacks do without a model. The datapath.Node's source of chance must be set before the first packet.
func (f *Fabric) AddNode(h replay.Host, dp *datapath.Node) *Node {
	n := &Node{f: f, host: h, dp: dp}
	n.own = f.newHost(Link{}, h.NodeIPs)
	n.own.node, n.own.own = n, true
	if h.Name != "" {
		n.own.name = h.Name
	}
	n.own.start()
	// Whatever the model delivers is the node's: addresses that IPVS binds and all of 127.0.0.0/8 with the rest.
	must(n.own.stack.SetPromiscuousMode(theNIC, true))
	must(n.own.stack.SetSpoofing(theNIC, true))
	n.frags.n = n
	n.fragmentID = uint32(f.o.Root.Stream("fragments " + n.own.name).Uint64())
	f.nodes = append(f.nodes, n)
	return n
}

// Host is the node as the host of its own addresses: for host-network Pods and the node's own connections.
func (n *Node) Host() *Host { return n.own }

// Datapath is the model.
func (n *Node) Datapath() *datapath.Node { return n.dp }

// Name is the node's name.
func (n *Node) Name() string { return n.host.Name }

// SetAddresses replaces the addresses by which other hosts and nodes find the node.
func (n *Node) SetAddresses(addrs ...netip.Addr) {
	for _, a := range n.own.addrs {
		if n.f.at[a] == n.own {
			delete(n.f.at, a)
		}
	}
	for _, a := range addrs {
		n.f.at[a] = n.own
	}
	n.own.setAddresses(addrs)
	n.host.NodeIPs = addrs
}

// SetLink gives the node's uplink, by which it reaches other modelled nodes, a length and a width; it has none at first. The
// way between two nodes is both their uplinks; machines outside have links of their own.
func (n *Node) SetLink(l Link) {
	h := n.own
	h.link = l
	h.up = newPipe(&h.link, n.f.o.Root.Stream("link "+h.name+" up"))
	h.down = newPipe(&h.link, n.f.o.Root.Stream("link "+h.name+" down"))
}

// maxHops is how many nodes a packet may pass before it is given up, beside its time to live, which IPVS and pass-through
// nodes do not count down.
const maxHops = 16

// depart sends a stack's packet on its way: by its link to its node, by the node's own OUTPUT, or from outside to a node that
// Options.Entry or its destination names.
func (f *Fabric) depart(it *item) {
	h := it.from
	if h.gone {
		f.drop(it)
		return
	}
	f.stats.Sent++
	if h.off {
		f.stats.PowerOff++
		f.drop(it)
		return
	}
	if h.port != nil && !h.port.admit(it) {
		f.drop(it)
		return
	}
	if h.own {
		it.node, it.in = h.node, ""
		f.walk(it)
		return
	}
	at, ok := h.up.pass(f.now, it.pkt.Size(), &f.stats)
	if !ok {
		f.drop(it)
		return
	}
	it.at = at
	if h.node != nil {
		it.node, it.in = h.node, h.node.host.PodInterface
		f.schedule(it)
		return
	}
	if !f.enter(it) {
		return
	}
	f.schedule(it)
}

// enter finds where a packet from outside goes; it ends one that goes nowhere.
func (f *Fabric) enter(it *item) bool {
	p := &f.entering
	*p = packet.Packet{}
	var l layout
	switch read(buffered(it.pkt), it.pkt.Size(), p, &l) {
	case truncated:
		f.stats.Truncated++
		f.drop(it)
		return false
	case malformed:
		f.stats.BadHeader++
		f.drop(it)
		return false
	}
	if p.Dst.Addr().IsMulticast() {
		f.stats.Multicast++
		f.drop(it)
		return false
	}
	var n *Node
	if f.o.Entry != nil {
		n = f.o.Entry(p)
	}
	if n == nil {
		if to := f.at[p.Dst.Addr()]; to != nil && to.node == nil {
			f.learn(it, p)
			f.arrive(it, to)
			return false
		} else if to != nil {
			n = to.node
		} else if len(f.nodes) > 0 {
			n = f.nodes[0]
		}
	}
	if n == nil {
		f.stats.NoHost++
		f.drop(it)
		return false
	}
	it.node, it.in = n, replay.Uplink
	return true
}

// arrive sends a packet down the link of the host it is for.
func (f *Fabric) arrive(it *item, to *Host) {
	at, ok := to.down.pass(max(it.at, f.now), it.pkt.Size(), &f.stats)
	if !ok {
		f.drop(it)
		return
	}
	it.at, it.to, it.node = at, to, nil
	f.schedule(it)
}

func (f *Fabric) drop(it *item) {
	f.dropPacket(it)
	f.release(it)
}

func (f *Fabric) dropPacket(it *item) {
	it.pkt.DecRef()
	it.pkt = nil
}

// walk is a packet at a node.
func (f *Fabric) walk(it *item) {
	n := it.node
	if n.own.off {
		f.stats.PowerOff++
		f.drop(it)
		return
	}
	if it.hops++; it.hops > maxHops {
		f.stats.Looped++
		f.drop(it)
		return
	}
	if !n.look(it) {
		return
	}
	if n.dp == nil {
		f.learn(it, &n.p)
		f.forward(it, n.p.Dst.Addr())
		return
	}
	if (n.p.MoreFragments || n.p.FragmentOffset != 0) && !(n.frags.gather(it, &n.p, &n.lay) && n.look(it)) {
		return
	}
	n.run(it)
}

// look reads a packet into n.p, and ends one that cannot be read.
func (n *Node) look(it *item) bool {
	n.p = packet.Packet{}
	switch read(buffered(it.pkt), it.pkt.Size(), &n.p, &n.lay) {
	case truncated:
		n.f.stats.Truncated++
	case malformed:
		n.f.stats.BadHeader++
	default:
		return true
	}
	n.f.drop(it)
	return false
}

// run walks the packet in n.p and does with its bytes what became of it.
func (n *Node) run(it *item) {
	f := n.f
	f.current, n.pkt = it.flow, it.pkt
	n.p.OutOfWindow = it.stray
	if f.o.Before != nil {
		f.o.Before(n, it.in, &n.p)
	}
	n.was = n.p
	f.stats.Walked++
	if n.advanced != f.now || n.advanced == 0 { // timers are never due at the moment at which they are set
		n.dp.Advance(f.now)
		n.advanced = f.now
	}
	d := &n.fate
	*d = n.pass(it)
	switch d.Fate {
	case datapath.Forwarded, datapath.Delivered:
		b, _ := buffered(it.pkt).need(n.lay.visible(n.p.Proto))
		rewrite(b, &n.lay, &n.was, &n.p, f.o.Checksums)
		f.learn(it, &n.p)
	case datapath.Rejected:
		n.said = n.answer(d.Answer)
	}
	if f.o.After != nil {
		f.o.After(n, it.in, &n.was, &n.p, d)
	}
	switch d.Fate {
	case datapath.Forwarded:
		to := n.p.Dst.Addr()
		if d.NextHop.IsValid() {
			to = d.NextHop
		}
		f.forward(it, to)
	case datapath.Delivered:
		it.at, it.to, it.node = f.now, n.own, nil
		f.schedule(it)
	case datapath.Rejected:
		f.stats.Rejected++
		n.send(it, d.Answer)
	default:
		if d.Problem != nil {
			f.stats.Unmodelled++
		} else {
			f.stats.DroppedByNode++
		}
		f.drop(it)
	}
}

// visible is how many bytes of a packet rewrite touches.
func (l *layout) visible(proto packet.Protocol) int {
	switch {
	case proto == packet.TCP:
		return min(max(l.l4+20, l.mss+2), l.end)
	case proto == packet.UDP:
		return min(l.l4+8, l.end)
	}
	return l.end
}

// forward sends a packet on to whoever has an address: a host of this node or outside, by its link, or another node.
func (f *Fabric) forward(it *item, dst netip.Addr) {
	n, to := it.node, f.at[dst]
	switch {
	case to == nil:
		f.stats.NoHost++
		f.drop(it)
		return
	case to.node == n && to.own: // a pass-through node's own address
		it.at, it.to, it.node = f.now, to, nil
		f.schedule(it)
		return
	}
	mtu := to.link.mtu()
	if to.node != nil && to.node != n {
		mtu = min(n.own.link.mtu(), to.node.own.link.mtu())
	}
	var cut [][]byte
	if n.dp != nil {
		var ok bool
		if cut, ok = n.squeeze(it, mtu); !ok {
			return
		}
	}
	if cut == nil {
		f.onward(it, to)
		return
	}
	f.dropPacket(it)
	for _, b := range cut {
		one := f.item()
		*one = *it
		one.pkt, one.largest = packetOf(b), 0
		f.sequence++
		one.sequence = f.sequence
		f.onward(one, to)
	}
	f.release(it)
}

func (f *Fabric) onward(it *item, to *Host) {
	if to.node == nil || to.node == it.node {
		f.arrive(it, to)
		return
	}
	at, ok := it.node.own.up.pass(f.now, it.pkt.Size(), &f.stats)
	if ok {
		at, ok = to.node.own.down.pass(at, it.pkt.Size(), &f.stats)
	}
	if !ok {
		f.drop(it)
		return
	}
	it.node, it.in, it.at = to.node, replay.Uplink, at
	f.schedule(it)
}

// deliver gives a packet to the stack of a host.
func (f *Fabric) deliver(it *item) {
	h := it.to
	if h.off {
		f.stats.PowerOff++
		f.drop(it)
		return
	}
	if h.port != nil {
		h.port.deliver(it)
		return
	}
	if h.gone {
		f.stats.NoHost++
		f.drop(it)
		return
	}
	if h.tap != nil && !h.tap(it) {
		f.drop(it)
		return
	}
	f.stats.Delivered++
	if it.icmp {
		f.heed(it)
	}
	if f.live == nil && !h.dirty {
		h.dirty = true
		f.dirty = append(f.dirty, h)
	}
	h.wire.receive(it.pkt)
	f.drop(it)
}

// flowOf finds the flow of a packet that a stack sends.
func (f *Fabric) flowOf(it *item) {
	var p packet.Packet
	var l layout
	if read(buffered(it.pkt), it.pkt.Size(), &p, &l) != sound {
		it.flow = unnumbered
		return
	}
	key := keyOf(p.Proto, p.Src, p.Dst)
	if p.IsICMPError() && p.Quoted.IsValid() { // about a packet that the stack got
		it.icmp = true
		key = keyOf(p.Quoted.Proto, p.Quoted.Dst, p.Quoted.Src)
	}
	if it.fl = f.flows.by[key]; it.fl != nil {
		it.flow = it.fl.number
		return
	}
	it.flow = int64(unnumbered | key>>2)
}

// learn notes under which tuple the answers to a first packet will come.
func (f *Fabric) learn(it *item, p *packet.Packet) {
	if it.fl == nil || p.Proto == packet.TCP && p.TCPFlags&(packet.SYN|packet.ACK) != packet.SYN || p.FragmentOffset != 0 {
		return
	}
	key := keyOf(p.Proto, p.Dst, p.Src)
	if f.flows.by[key] != it.fl {
		it.fl.endpoint, it.fl.seen = p.Dst, p.Src
		f.flows.add(it.fl, key)
	}
}

// Bytes appends the packet being walked to b, with all its checksums: in Options.Before as it came, in After as it is now. What
// a node rejects or drops stays as it came.
func (n *Node) Bytes(b []byte) []byte {
	start := len(b)
	b = bytesOf(b, n.pkt)
	if n.f.o.Checksums {
		return b
	}
	var p packet.Packet
	var l layout
	if read(flat(b[start:]), len(b)-start, &p, &l) == sound {
		fillChecksums(b[start:], &l, &p)
	}
	return b
}

// Answer appends what the node tells the sender of the packet that After is called for, if it was rejected.
func (n *Node) Answer(b []byte) []byte {
	if n.said == nil {
		return b
	}
	return bytesOf(b, n.said)
}
