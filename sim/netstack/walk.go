package netstack

import (
	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/replay"
)

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
	if cut := h.narrow(it); cut != nil {
		f.stats.Sent--
		f.dropPacket(it)
		for _, b := range cut {
			one := f.item()
			*one = *it
			one.pkt = packetOf(b)
			f.sequence++
			one.sequence = f.sequence
			f.depart(one)
		}
		f.release(it)
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
	n.pass(it, d)
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
		switch {
		case d.Problem != nil:
			f.stats.Unmodelled++
		case n.p.TTL <= 1 && d.Reason == expired:
			n.timeExceeded(it)
			return
		default:
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
