package netstack

import (
	"net/netip"

	"github.com/svclab/svclab/sim/replay"
)

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
