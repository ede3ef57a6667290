package netstack

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// pmtu is what a host has been told about the way to an address.
type pmtu struct {
	mtu   int
	until time.Duration
}

// What Linux does with such news: it keeps them for 10 minutes (net.ipv4.route.mtu_expires, net.ipv6.route.mtu_expires) and believes
// none below a minimum (net.ipv4.route.min_pmtu; RFC 8200, section 5).
const (
	pmtuTime = 10 * time.Minute
	minPMTU  = 552
	maxPaths = 4096 // net.ipv6.route.max_size
)

// learnPath notes the MTU that "packet too big" and "fragmentation needed" tell, for what gVisor keeps none for: it lowers TCP's
// segments alone.
func (h *Host) learnPath(p *packet.Packet, l *layout, b []byte) {
	mtu, least := int(binary.BigEndian.Uint16(b[l.l4+6:])), minPMTU
	if l.v6 {
		mtu, least = int(binary.BigEndian.Uint32(b[l.l4+4:])), minFragmentV6
	}
	if p.Quoted.Proto == packet.TCP || mtu >= h.link.mtu() {
		return
	}
	if h.paths == nil || len(h.paths) >= maxPaths {
		h.paths = map[netip.Addr]pmtu{}
	}
	h.paths[p.Quoted.Dst.Addr()] = pmtu{max(mtu, least), h.f.now + pmtuTime}
}

// narrow cuts a packet that is too large for a path which the host knows of, as the sender does in IPv6 (RFC 8200, section 4.5)
// and Linux in IPv4 too (IP_PMTUDISC_WANT). It returns nil for all others.
func (h *Host) narrow(it *item) [][]byte {
	size := it.pkt.Size()
	if len(h.paths) == 0 || size <= minPMTU {
		return nil
	}
	var p packet.Packet
	var l layout
	if read(buffered(it.pkt), size, &p, &l) != sound || p.Proto == packet.TCP || p.MoreFragments || p.FragmentOffset != 0 {
		return nil
	}
	to, ok := h.paths[p.Dst.Addr()]
	if !ok || size <= to.mtu {
		return nil
	}
	if h.f.now >= to.until {
		delete(h.paths, p.Dst.Addr())
		return nil
	}
	h.fragmentID++
	b := bytesOf(nil, it.pkt)[:l.end]
	if l.v6 {
		return cutV6(b, l.l4, byte(p.Proto), to.mtu, h.fragmentID)
	}
	if l.dont { // then it has no identification yet (RFC 6864, section 4.1)
		b[6] &^= 0x40
		binary.BigEndian.PutUint16(b[4:], uint16(h.fragmentID))
	}
	return cutV4(b, l.l4, to.mtu)
}
