package datapath

import (
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// ReceiveTogether walks two packets that arrive on an interface at the same moment and are taken up by two processors; in is "" for
// packets that local sockets send. The whole walk of the second falls between the last rule that the first meets and the
// confirmation of its connection: when both open the same flow, each has met the rules of nat for itself, and the first finds its
// place taken when it is confirmed (net/netfilter/nf_conntrack_core.c, __nf_conntrack_confirm). A packet that confirms nothing is
// walked before the second.
func (n *Node) ReceiveTogether(now time.Duration, in string, first, second *packet.Packet) (one, two Disposition) {
	walk := func(p *packet.Packet) Disposition {
		if in == "" {
			return n.Send(now, p)
		}
		return n.Receive(now, in, p)
	}
	n.between = func() { two = walk(second) }
	one = walk(first)
	if n.between != nil {
		n.between = nil
		two = walk(second)
	}
	return one, two
}

// interleave lets the other processor have its turn, and takes up the packet's walk where it was.
func (n *Node) interleave() {
	other := n.between
	n.between = nil
	walk, taken := n.walk, n.taken
	n.walk.Trace = nil
	back := n.tap.aside()
	other()
	back()
	n.walk, n.taken = walk, taken
}
