package run

import (
	"encoding/binary"
	"hash/fnv"
	"time"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/wire"
)

// filling is what makes bytes of a packet's view: what it leaves out, or the bytes it was read from.
type filling struct {
	wire.Unseen
	raw  []byte
	from *packet.Packet // the view of raw
}

// write writes a packet at one point of a node.
func (c *Capture) write(node, point string, now time.Duration, p *packet.Packet, fill filling, text string, way wire.Direction) {
	if c.err != nil || !c.takes(point) {
		return
	}
	name := node + " " + point
	i, ok := c.points[name]
	if !ok {
		if i, c.err = c.out.AddInterface(wire.Interface{Name: name, Link: wire.Raw, SnapBytes: snapBytes}); c.err != nil {
			return
		}
		c.points[name] = i
	}
	if original := c.bytesOf(p, &fill); c.err == nil {
		c.err = c.out.Record(wire.Record{At: now, Interface: i, Data: c.bytes, OriginalBytes: original, Comment: text, Direction: way, ID: c.id})
	}
}

// bytesOf makes the bytes of a packet's view, from those it was read from, or else its headers, and returns how many it has.
func (c *Capture) bytesOf(p *packet.Packet, fill *filling) (original uint32) {
	if fill.raw != nil { // bytes of one fragment are not of the packet that was put together from all
		b, err := wire.Patch(c.bytes[:0], fill.raw, fill.from, p)
		if c.bytes = b; err == nil {
			c.oncePayload(p)
			return p.LengthBytes
		}
	}
	c.bytes, c.err = c.encode.Append(c.bytes[:0], p, fill.Unseen)
	original = uint32(len(c.bytes)) // what is longer than an IP header can say was written as what it can
	if c.err == nil && (p.Proto == packet.TCP || p.Proto == packet.UDP) {
		c.bytes = c.bytes[:len(c.bytes)-wire.PayloadBytes(p)]
	}
	return original
}

// datagram is one payload on its way between two ends.
type datagram struct {
	packet.Tuple
	sum uint64
}

// oncePayload leaves out payloads of UDP that were seen between the same ends before: analysers, which take a capture for one wire, would
// call them messages that were sent again. Those that runs fill packets with are left out throughout.
func (c *Capture) oncePayload(p *packet.Packet) {
	at, ok := wire.DatagramOf(c.bytes)
	if !ok || at >= len(c.bytes) {
		return
	}
	h := fnv.New64a()
	_, _ = h.Write(c.bytes[at:])
	k := datagram{p.Tuple(), h.Sum64()}
	if filler := len(c.bytes) >= at+4 && binary.BigEndian.Uint32(c.bytes[at:]) == echoMagic; filler || c.datagrams[k] {
		c.bytes = c.bytes[:at]
	}
	c.datagrams[k] = true
}
