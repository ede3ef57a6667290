package netstack

import (
	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
)

// beside notes that two processors take up a packet that is about to be walked and the next of the same instant together: when both
// are at the same node, of one tuple, and Options.Together says so.
func (f *Fabric) beside(it, next *item) {
	n := it.node
	if f.o.Together == nil || n == nil || n.dp == nil || next.node != n || next.in != it.in || next.flow != it.flow || n.own.off {
		return
	}
	var a, b packet.Packet
	var l layout
	if read(buffered(it.pkt), it.pkt.Size(), &a, &l) != sound || read(buffered(next.pkt), next.pkt.Size(), &b, &l) != sound {
		return
	}
	if a.Proto != packet.UDP || a.Tuple() != b.Tuple() || a.IsLaterFragment() || b.IsLaterFragment() || !f.o.Together(n, it.in, &a) {
		return
	}
	n.next, n.pair.p = next, b
}

// pair is the second of two packets that were walked together, as its walk left it.
type pair struct {
	it *item
	p  packet.Packet
	d  datapath.Disposition
}

// pass walks the packet in n.p: alone, or together with the next.
func (n *Node) pass(it *item, d *datapath.Disposition) {
	now := n.f.now
	switch {
	case n.pair.it == it:
		*d = n.pair.d
		n.p, n.pair = n.pair.p, pair{}
	case n.next != nil:
		*d, n.pair.d = n.dp.ReceiveTogether(now, it.in, &n.p, &n.pair.p)
		n.pair.it, n.next = n.next, nil
	case it.in == "":
		*d = n.dp.Send(now, &n.p)
	default:
		*d = n.dp.Receive(now, it.in, &n.p)
	}
}
