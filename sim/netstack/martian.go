package netstack

import (
	"net/netip"
	"slices"

	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// isMartian reports whether a packet that reaches a host bears one of its own addresses as source: Linux drops it
// (net/ipv4/fib_frontend.c, __fib_validate_source), gVisor would take it for one of its own and answer. Nodes are left to their
// model, which looks for itself.
func (h *Host) isMartian(p *stack.PacketBuffer) bool {
	if h.own {
		return false
	}
	v := buffered(p)
	b, ok := v.need(v4Header)
	if !ok {
		return false
	}
	var src netip.Addr
	if b[0]>>4 == 6 {
		if b, ok = v.need(v6Header); !ok {
			return false
		}
		src = netip.AddrFrom16([16]byte(b[8:24]))
	} else {
		src = netip.AddrFrom4([4]byte(b[12:16]))
	}
	return slices.Contains(h.addrs, src)
}
