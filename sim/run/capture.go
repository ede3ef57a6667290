package run

import (
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/wire"
)

// DefaultCapturePackets is how many packets a capture holds unless it is asked for more. Each is seen at several points.
const DefaultCapturePackets = 2000

// snapBytes is the length beyond which packets with bytes of their own are cut.
const snapBytes = 65535

// Capture writes what passes nodes as a pcapng: a packet where it arrives or leaves, and as it stands when it enters each hook, with
// a comment that names the rules it met and their verdict. Each point of each node is an interface: "node1 eth0", "node1 PREROUTING",
// "node1 socket" for what local sockets are given. Times are virtual and bytes the same for the same packets. Payloads, of which a view
// knows the length alone, are left out as a capture of headers leaves them out: zeros in their place would be taken for what the port
// is known for. Beyond the limit packets are only counted.
type Capture struct {
	out       *wire.Writer
	limit     int64
	points    map[string]int
	encode    wire.Encoder
	bytes     []byte
	raw       []byte // bytes of the packet that is walked, where it has some of its own
	flows     flowTable
	named     map[netip.Addr]string
	id        uint64
	kept      int64
	left      map[string]int64  // packets beyond the limit, by node
	datagrams map[datagram]bool // whose payload is in the capture
	only      map[string]bool   // points that are captured, in lower case: true once one was passed; nil for all
	passed    map[string]bool   // points that were passed and are not in only
	err       error
}

// CaptureOptions say what a capture holds.
type CaptureOptions struct {
	About   string   // a comment on the whole
	Packets int64    // 0 for DefaultCapturePackets
	Points  []string // names of hooks and interfaces, in any case, and "socket"; none for all
}

// NewCapture begins a capture.
func NewCapture(w io.Writer, o CaptureOptions) (*Capture, error) {
	if o.Packets <= 0 {
		o.Packets = DefaultCapturePackets
	}
	about := strings.TrimPrefix(o.About+"; each packet is here once for every point it passed: filter by frame.interface_name", "; ")
	out, err := wire.NewWriter(w, wire.Section{Application: "svclab", Comment: about})
	c := &Capture{out: out, limit: o.Packets, points: map[string]int{}, flows: flowTable{}, named: map[netip.Addr]string{}, left: map[string]int64{}, datagrams: map[datagram]bool{}}
	if len(o.Points) > 0 {
		c.only, c.passed = map[string]bool{}, map[string]bool{}
	}
	for _, p := range o.Points {
		c.only[strings.ToLower(p)] = false
	}
	return c, err
}

// takes reports whether a point is captured.
func (c *Capture) takes(point string) bool {
	if c.only == nil {
		return true
	}
	k := strings.ToLower(point)
	if _, ok := c.only[k]; ok {
		c.only[k] = true
		return true
	}
	c.passed[point] = true
	return false
}

// Tap is for a node to be captured at.
func (c *Capture) Tap(node string) *datapath.Tap {
	return &datapath.Tap{
		Wants: c.wants,
		Walked: func(now time.Duration, t *netfilter.Trace, p *packet.Packet, d *datapath.Disposition) {
			c.walked(node, now, t, p, d)
		},
	}
}

// attach captures what passes a subject's node, with the names of its cluster.
func (c *Capture) attach(s *Subject) {
	s.Node.SetTap(c.Tap(s.Host.Name))
	c.names(s.addressNames())
}

// names tells what addresses are called, those that were told already left out.
func (c *Capture) names(all map[netip.Addr]string) {
	for a := range c.named {
		delete(all, a)
	}
	maps.Copy(c.named, all)
	if c.err == nil {
		c.err = c.out.Names(all)
	}
}

// wants reports whether there is room for another packet.
func (c *Capture) wants() bool { return c.err == nil && c.kept < c.limit }

// frame gives the packet that is walked next bytes of its own: what a view leaves out is then kept as it is.
func (c *Capture) frame(b []byte) { c.raw = b }

// Err is what writing failed with, if it did.
func (c *Capture) Err() error { return c.err }

// Packets is how many packets the capture holds; each may be in it several times.
func (c *Capture) Packets() int64 { return c.kept }

// Warnings tell what was left out, and which points were asked for and never passed.
func (c *Capture) Warnings() (out []string) {
	var nodes []string
	for _, n := range slices.Sorted(maps.Keys(c.left)) {
		nodes = append(nodes, fmt.Sprintf("%s %d", n, c.left[n]))
	}
	if len(nodes) > 0 {
		out = append(out, fmt.Sprintf("the capture holds the first %d packets; left out of it: %s (--capture-limit takes more)", c.kept, strings.Join(nodes, ", ")))
	}
	for _, p := range slices.Sorted(maps.Keys(c.only)) {
		if !c.only[p] {
			out = append(out, fmt.Sprintf("the capture has no packet at %q; packets passed %s", p, strings.Join(slices.Sorted(maps.Keys(c.passed)), ", ")))
		}
	}
	return out
}

// walked writes one packet at every point it passed; without a trace, or beyond the limit, it counts it.
func (c *Capture) walked(node string, now time.Duration, t *netfilter.Trace, p *packet.Packet, d *datapath.Disposition) {
	raw := c.raw
	c.raw = nil
	if node == "" {
		node = "node"
	}
	if t == nil || !c.wants() {
		c.left[node]++
		return
	}
	c.kept++
	if len(t.Visits) == 0 {
		return // no hook saw it: there was no route
	}
	c.id++
	first := &t.Visits[0]
	fill := filling{Unseen: c.flows.next(&first.Packet, raw, d), raw: raw, from: &first.Packet}
	fill.ID = uint32(c.id)
	if first.In != "" {
		c.write(node, first.In, now, &first.Packet, fill, "arrives", wire.Inbound)
	}
	for i := range t.Visits {
		v := &t.Visits[i]
		if i > 0 && v.In == "lo" && v.Hook == netfilter.PreRouting {
			c.write(node, "lo", now, &v.Packet, fill, "sent to the node itself", wire.Outbound)
		}
		c.write(node, v.Hook.String(), now, &v.Packet, fill, comment(t, i, d), wire.DirectionUnknown)
	}
	switch d.Fate {
	case datapath.Forwarded:
		c.write(node, d.Out, now, p, fill, leaves(p, &first.Packet), wire.Outbound)
	case datapath.Delivered:
		c.write(node, "socket", now, p, fill, "delivered to a local socket", wire.Inbound)
	case datapath.Rejected:
		if d.Answer == nil {
			return
		}
		point, way := first.In, wire.Outbound
		if point == "" {
			point, way = "socket", wire.Inbound
		}
		c.id++
		answer := filling{Unseen: c.flows.answer(d.Answer, &first.Packet, d)}
		answer.ID = uint32(c.id)
		c.write(node, point, now, d.Answer, answer, "the node's answer: reject with "+d.With.With, way)
	}
}

func leaves(p, first *packet.Packet) string {
	if p.Src == first.Src && p.Dst == first.Dst {
		return "leaves as it came"
	}
	return fmt.Sprintf("leaves; it came as %s > %s", first.Src, first.Dst)
}
