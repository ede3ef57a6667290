package datapath

import (
	"time"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// Tap is told of every packet that passes a node for good: what captures and live views are made of. Walks inside Undo, which ask
// what would become of a packet, are not told of.
type Tap struct {
	// Wants is asked before a packet's walk whether its steps are to be recorded, which takes time; nil for always.
	Wants func() bool
	// Walked is told what became of a packet, which stands as it left the node. The trace is nil when it was not wanted; it and the
	// disposition are valid until the function returns.
	Walked func(now time.Duration, t *netfilter.Trace, p *packet.Packet, d *Disposition)

	trace netfilter.Trace
	outer *netfilter.Trace // of whoever else follows the walk
	on    bool
}

// SetTap sets who is told of packets; nil for nobody.
func (n *Node) SetTap(t *Tap) { n.tap = t }

func (t *Tap) begin(w *netfilter.Walk) {
	t.on = w.Journal == nil && (t.Wants == nil || t.Wants())
	if t.on {
		t.trace.Steps, t.trace.Visits = t.trace.Steps[:0], t.trace.Visits[:0]
		t.outer, w.Trace = w.Trace, &t.trace
	}
}

func (t *Tap) end(w *netfilter.Walk, p *packet.Packet, d *Disposition) {
	if w.Journal != nil {
		return
	}
	var trace *netfilter.Trace
	if t.on {
		trace, w.Trace = &t.trace, t.outer
		t.on, t.outer = false, nil
		w.Trace.Append(trace)
	}
	t.Walked(w.Now, trace, p, d)
}

// aside lets another packet be walked in the middle of a walk; what it returns takes that up again.
func (t *Tap) aside() (back func()) {
	if t == nil {
		return func() {}
	}
	trace, outer, on := t.trace, t.outer, t.on
	t.trace, t.outer, t.on = netfilter.Trace{}, nil, false
	return func() { t.trace, t.outer, t.on = trace, outer, on }
}
