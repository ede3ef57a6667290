package run

import (
	"encoding/binary"
	"fmt"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/netstack"
	"github.com/svclab/svclab/sim/report"
)

// add makes a flow known by its tuple; the newest of a tuple counts.
func (w *stackWorld) add(fl *stackFlow) {
	w.tuples[packet.Tuple{Proto: fl.proto, Src: fl.src, Dst: fl.dst}] = fl
}

// retire lets go of a flow, once as many others have ended after it as the ring holds.
func (w *stackWorld) retire(fl *stackFlow) {
	if old := w.retired[w.oldest]; old != nil {
		for _, t := range []packet.Tuple{{Proto: old.proto, Src: old.src, Dst: old.dst}, old.answers} {
			if w.tuples[t] == old {
				delete(w.tuples, t)
			}
		}
	}
	w.retired[w.oldest] = fl
	w.oldest = (w.oldest + 1) % len(w.retired)
}

// flowOf finds the flow of a packet, and whether it goes the client's way under the addresses that the client gave it.
func (w *stackWorld) flowOf(p *packet.Packet) (fl *stackFlow, original bool) {
	t := p.Tuple()
	if p.IsICMPError() && p.Quoted.IsValid() {
		t = packet.Tuple{Proto: p.Quoted.Proto, Src: p.Quoted.Dst, Dst: p.Quoted.Src}
	}
	fl = w.tuples[t]
	return fl, fl != nil && fl.src == p.Src && fl.dst == p.Dst
}

// entryOf says to which node a packet comes from beyond the nodes: a client's to the one that its plan names, an answer to the one
// that translated what it answers.
func (w *stackWorld) entryOf(p *packet.Packet) *netstack.Node {
	if fl, _ := w.flowOf(p); fl != nil {
		return w.nodes[fl.site]
	}
	return nil
}

// before keys chance to the flow of the packet that a node is about to walk.
func (w *stackWorld) before(n *netstack.Node, _ string, p *packet.Packet) {
	if c := w.options.Capture; c != nil && c.wants() {
		c.frame(n.Bytes(nil))
	}
	fl, original := w.flowOf(p)
	switch {
	case fl == nil:
		w.source.at(hashOf(p))
	case !original:
		w.source.at(fl.key ^ 1<<61)
	case isFirst(p):
		if fl.flow != nil && p.Proto == packet.TCP {
			fl.key = attemptKey(*fl.flow, fl.try)
			if n == w.nodes[fl.site] {
				fl.try++
			}
		}
		w.source.at(fl.key)
		if fl.path != nil && n == w.nodes[fl.site] && !fl.known {
			fl.watched = w.follow.watch(n.Datapath())
		}
	default:
		w.source.at(fl.key)
	}
}

// together says whether two processors take up a packet and the next of its flow at once, which is decided once for a flow.
func (w *stackWorld) together(n *netstack.Node, _ string, p *packet.Packet) bool {
	fl, original := w.flowOf(p)
	if fl == nil || !original || !fl.together || n != w.nodes[fl.site] {
		return false
	}
	fl.together = false
	return true
}

// isFirst reports whether a packet may open a flow.
func isFirst(p *packet.Packet) bool {
	return p.Proto == packet.UDP && !p.IsLaterFragment() || p.Proto == packet.TCP && p.TCPFlags&(packet.SYN|packet.ACK) == packet.SYN
}

// hashOf keys the chance of a packet that belongs to no flow of the run.
func hashOf(p *packet.Packet) uint64 {
	h := uint64(14695981039346656037)
	mix := func(b []byte) {
		for _, x := range b {
			h = (h ^ uint64(x)) * 1099511628211
		}
	}
	src, dst := p.Src.Addr().As16(), p.Dst.Addr().As16()
	mix(src[:])
	mix(dst[:])
	mix(binary.BigEndian.AppendUint32(nil, uint32(p.Src.Port())<<16|uint32(p.Dst.Port())))
	return h | 1<<62
}

// after notes what became of a flow's first packet.
func (w *stackWorld) after(n *netstack.Node, in string, was, is *packet.Packet, d *datapath.Disposition) {
	fl, original := w.flowOf(was)
	if fl == nil || !original || !isFirst(was) || n != w.nodes[fl.site] {
		return
	}
	passed := d.Fate == datapath.Forwarded || d.Fate == datapath.Delivered
	if fl.watched != nil {
		w.tell(fl, n, fl.watched())
		fl.watched = nil
	}
	if fl.known && fl.endpoint.IsValid() && passed && is.Dst == fl.endpoint {
		return // sent again
	}
	fl.known, fl.first, fl.drew = true, *d, fl.drew || w.source.drew
	fl.first.Answer = nil
	if !passed {
		return
	}
	fl.endpoint, fl.seen = is.Dst, is.Src
	fl.answers = packet.Tuple{Proto: fl.proto, Src: is.Dst, Dst: is.Src}
	if fl.answers != (packet.Tuple{Proto: fl.proto, Src: fl.src, Dst: fl.dst}) {
		w.tuples[fl.answers] = fl
	}
}

// tell notes the way of a followed flow's first packet.
func (w *stackWorld) tell(fl *stackFlow, n *netstack.Node, rules []string) {
	what := fmt.Sprintf(fl.what, fl.src, fl.dst)
	fl.path.Steps = append(fl.path.Steps, report.PathStep{At: w.fabric.Now().String(), What: what, Node: n.Name(), Rules: rules})
}
