package ipset

import (
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

var _ netfilter.SetLookup = (*Store)(nil)

const udpLite packet.Protocol = 136

// Contains tests a packet, as ip_set_test does (net/netfilter/ipset/ip_set_core.c): the directions say from which side each
// part of an entry is taken. With fewer directions than the type has parts, another family, or a part the packet lacks, the answer
// is no.
func (st *Store) Contains(w *netfilter.Walk, set string, dims []netfilter.Dimension, p *packet.Packet) bool {
	s := st.sets[set]
	return s != nil && st.contains(w, s, dims, p)
}

func (st *Store) contains(w *netfilter.Walk, s *Set, dims []netfilter.Dimension, p *packet.Packet) bool {
	if s.Type == ListSet {
		for _, x := range s.entries {
			if x == nil || x.expires != 0 && x.expires <= w.Now {
				continue
			}
			if m := st.sets[x.Member]; m != nil && m.Type != ListSet && st.contains(w, m, dims, p) {
				return true
			}
		}
		return false
	}
	parts := typeParts[s.Type]
	if len(dims) < len(parts) || s.Family != 0 && s.Family != p.Family() {
		return false
	}
	var e Entry
	for i, part := range parts {
		if !s.take(&e, part, i > 0, dims[i].Source, w, p) {
			return false
		}
	}
	if !s.Type.hasNet() {
		x := s.get(e, w.Now)
		return x != nil && !x.nomatch
	}
	return s.containsNet(e, w.Now, parts)
}

// take fills one part of the entry that is looked for.
func (s *Set) take(e *Entry, k part, second, source bool, w *netfilter.Walk, p *packet.Packet) bool {
	side := p.Dst
	if source {
		side = p.Src
	}
	switch k {
	case partIP, partNet:
		a := netip.PrefixFrom(side.Addr(), side.Addr().BitLen())
		if k == partIP && s.mask >= 0 {
			a = netip.PrefixFrom(netip.PrefixFrom(side.Addr(), s.mask).Masked().Addr(), side.Addr().BitLen())
		}
		if second {
			e.B = a
		} else {
			e.A = a
		}
	case partPort:
		withPort := p.Proto.HasPorts() || p.Proto == udpLite || p.Proto == packet.ICMP || p.Proto == packet.ICMPv6
		if p.IsLaterFragment() && (withPort || s.Type == BitmapPort) {
			return false
		}
		switch {
		case s.Type == BitmapPort:
			e.Port = side.Port()
			return p.Proto == packet.TCP || p.Proto == packet.UDP
		case p.Proto.HasPorts() || p.Proto == udpLite:
			e.Proto, e.Port = p.Proto, side.Port()
		case p.Proto == packet.ICMP || p.Proto == packet.ICMPv6:
			e.Proto, e.Port = p.Proto, uint16(p.ICMPType)<<8|uint16(p.ICMPCode)
		default: // the protocol alone counts (ip_set_getport.c, ip_set_get_ip4_port)
			e.Proto, e.Port = p.Proto, 0
		}
	case partIface:
		if e.Iface = w.Out; source {
			e.Iface = w.In
		}
		return e.Iface != ""
	case partMark:
		e.Mark = p.Mark
	case partMAC:
		e.MAC = p.SrcMAC
		return source && p.SrcMAC != packet.MAC{}
	}
	return true
}

// containsNet looks for the most specific network that holds the address; nomatch entries are holes.
func (s *Set) containsNet(e Entry, now time.Duration, parts []part) bool {
	netA := parts[0] == partNet
	netB := len(parts) > 1 && parts[len(parts)-1] == partNet
	for a := e.A.Bits(); a >= 0; a-- {
		if netA && s.lensA[a] == 0 || !netA && a != e.A.Bits() {
			continue
		}
		k := e
		k.A = netip.PrefixFrom(e.A.Addr(), a).Masked()
		for b := max(e.B.Bits(), 0); b >= 0; b-- {
			if netB {
				if s.lensB[b] == 0 {
					continue
				}
				k.B = netip.PrefixFrom(e.B.Addr(), b).Masked()
			}
			if x := s.get(k, now); x != nil {
				return !x.nomatch
			}
			if !netB {
				break
			}
		}
	}
	return false
}
