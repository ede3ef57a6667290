package netstack

import (
	"encoding/binary"

	"github.com/svclab/svclab/datapath/packet"
)

// Stray has the host follow the next TCP segment with data of a flow by a copy of it whose sequence number is far beyond what the
// peer's window allows, as one that was sent in another life of the flow or spoilt on the way. Nodes are told that it is
// (packet.Packet, OutOfWindow), since they look at no sequence numbers.
func (h *Host) Stray(flow int64) {
	if h.strays == nil {
		h.strays = map[int64]bool{}
	}
	h.strays[flow] = true
}

// beyondWindow is how far a stray segment is off: more than any window scale allows.
const beyondWindow = 1 << 30

// strayOf makes the copy that follows a segment; nil when none does.
func (f *Fabric) strayOf(it *item) *item {
	h := it.from
	if h == nil || !h.strays[it.flow] {
		return nil
	}
	b := bytesOf(nil, it.pkt)
	l4, data := segment(b)
	if !data {
		return nil
	}
	delete(h.strays, it.flow)
	binary.BigEndian.PutUint32(b[l4+4:], binary.BigEndian.Uint32(b[l4+4:])+beyondWindow)
	if f.o.Checksums {
		var p packet.Packet
		var l layout
		if read(flat(b), len(b), &p, &l) == sound {
			fillChecksums(b, &l, &p)
		}
	}
	c := f.item()
	c.at, c.flow, c.fl, c.from, c.pkt, c.stray = it.at, it.flow, it.fl, h, packetOf(b), true
	f.sequence++
	c.sequence = f.sequence
	return c
}

// segment finds the TCP header of a packet without extension headers, and whether data follows it.
func segment(b []byte) (l4 int, data bool) {
	switch {
	case len(b) >= v6Header+20 && b[0]>>4 == 6 && b[6] == 6:
		l4 = v6Header
	case len(b) >= v4Header+20 && b[0]>>4 == 4 && b[9] == 6:
		l4 = int(b[0]&0xf) * 4
	default:
		return 0, false
	}
	return l4, len(b) >= l4+20 && len(b) > l4+int(b[l4+12]>>4)*4
}
