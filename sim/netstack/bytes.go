package netstack

import (
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// view is a packet whose first bytes are at hand: more of them can be had if it is a stack's buffer.
type view struct {
	head []byte
	pkt  *stack.PacketBuffer
}

// flat is a packet in one piece.
func flat(b []byte) view { return view{head: b} }

// buffered is a packet of a stack, whose headers are in one piece more often than not.
func buffered(p *stack.PacketBuffer) view {
	list, skip := p.AsViewList()
	if v := list.Front(); v != nil {
		if b := v.AsSlice(); skip < len(b) {
			return view{head: b[skip:], pkt: p}
		}
	}
	return view{pkt: p}
}

// need returns the packet's bytes from its start, n of them at least, in place; ok is false when the packet has fewer.
func (v view) need(n int) (b []byte, ok bool) {
	if n <= len(v.head) {
		return v.head, true
	}
	return v.pull(n)
}

func (v view) pull(n int) ([]byte, bool) {
	if v.pkt == nil {
		return v.head, false
	}
	return v.pkt.Data().PullUp(n)
}

// packetOf makes a stack's buffer of bytes, which it copies.
func packetOf(b []byte) *stack.PacketBuffer {
	return stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(b)})
}

// bytesOf appends the bytes of a packet to b.
func bytesOf(b []byte, p *stack.PacketBuffer) []byte {
	list, skip := p.AsViewList()
	for v := list.Front(); v != nil; v = v.Next() {
		s := v.AsSlice()
		if skip >= len(s) {
			skip -= len(s)
			continue
		}
		b = append(b, s[skip:]...)
		skip = 0
	}
	return b
}
