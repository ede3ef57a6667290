package netstack

import (
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// buffered is a packet in a stack's buffer, whose first bytes are in one piece more often than not.
type buffered struct{ *stack.PacketBuffer }

func (b buffered) need(n int) ([]byte, bool) { return b.Data().PullUp(n) }

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
