package netstack

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// fragKey is what belongs together (RFC 791, section 3.2; RFC 8200, section 4.5: there the protocol is not part of it).
type fragKey struct {
	src, dst netip.Addr
	id       uint32
	proto    packet.Protocol
}

// assembly is a datagram of which some fragments have come.
type assembly struct {
	parts   []part // by offset, none overlapping
	head    []byte // what precedes the payload, of the first fragment
	next    byte   // IPv6: what follows the fragment header
	end     int    // of the payload; -1 before the last fragment came
	largest int    // fragment, in bytes: cut again, no fragment is larger
	have    int
	first   *item // what is known of the first fragment, without its packet
	expiry  timer
}

type part struct {
	at    int
	bytes []byte
}

// defrag is a node's defragmentation: connection tracking sees whole datagrams only (net/ipv4/netfilter/nf_defrag_ipv4.c,
// net/ipv6/netfilter/nf_conntrack_reasm.c).
type defrag struct {
	n      *Node
	open   map[fragKey]*assembly
	memory int
}

// What Linux gives fragments: net.ipv4.ipfrag_high_thresh and nf_conntrack_frag6_high_thresh, for both together here;
// ipfrag_time and nf_conntrack_frag6_timeout.
const (
	fragMemory    = 4 << 20
	fragTime      = 30 * time.Second
	fragTime6     = 60 * time.Second
	fragOverhead  = 256 // what a fragment costs beside its bytes
	maxDatagram   = 65535
	minFragmentV6 = 1280
)

// gather takes a fragment and reports whether it completed its datagram, which then takes the fragment's place in the item.
func (d *defrag) gather(it *item, p *packet.Packet, l *layout) bool {
	f := d.n.f
	f.stats.Fragments++
	b := bytesOf(nil, it.pkt)[:l.end]
	key := fragKey{src: p.Src.Addr(), dst: p.Dst.Addr(), proto: p.Proto}
	var payload []byte
	if l.v6 {
		key.id, key.proto = binary.BigEndian.Uint32(b[l.fragment+4:]), 0
		payload = b[l.fragment+fragmentHeader:]
	} else {
		key.id = uint32(binary.BigEndian.Uint16(b[4:]))
		payload = b[l.l4:]
	}
	at := int(p.FragmentOffset) * 8
	if p.MoreFragments && len(payload)%8 != 0 {
		if l.v6 {
			f.stats.BadHeader++ // a parameter problem (RFC 8200, section 4.5)
			f.drop(it)
			return false
		}
		payload = payload[:len(payload)&^7] // net/ipv4/ip_fragment.c, ip_frag_queue
	}
	if len(payload) == 0 || at+len(payload) > maxDatagram {
		f.stats.BadHeader++
		f.drop(it)
		return false
	}
	a := d.open[key]
	if a == nil {
		if d.memory > fragMemory {
			f.stats.FragmentsNoMemory++
			f.drop(it)
			return false
		}
		a = &assembly{end: -1}
		if d.open == nil {
			d.open = map[fragKey]*assembly{}
		}
		d.open[key] = a
		a.expiry.clock = &f.clock
		a.expiry.do = func() { f.stats.FragmentsExpired++; d.forget(key, a) }
		a.expiry.Reset(fragTime)
		if l.v6 {
			a.expiry.Reset(fragTime6)
		}
	}
	switch a.add(at, payload, !p.MoreFragments) {
	case duplicate:
		f.drop(it)
		return false
	case overlap:
		f.stats.FragmentsOverlap++
		d.forget(key, a)
		f.drop(it)
		return false
	}
	d.memory += len(payload) + fragOverhead
	a.largest = max(a.largest, l.end)
	if at == 0 {
		a.head = b[:l.l4]
		if l.v6 {
			a.head, a.next = b[:l.fragment], b[l.fragment]
			a.head[lastNext(a.head)] = a.next
		}
		kept := *it
		kept.pkt = nil
		a.first = &kept
	}
	f.dropPacket(it)
	if a.end < 0 || a.have < a.end || a.first == nil {
		f.release(it)
		return false
	}
	whole := a.assemble(l.v6)
	d.forget(key, a)
	f.stats.Reassembled++
	it.flow, it.fl, it.largest = a.first.flow, a.first.fl, a.largest
	it.pkt = packetOf(whole)
	return true
}

type addition uint8

const (
	added addition = iota
	duplicate
	overlap
)

// add takes a part: one that is there already is ignored, one that overlaps another ends the datagram (RFC 5722, and since
// Linux 4.20 IPv4 too: net/ipv4/inet_fragment.c, inet_frag_queue_insert).
func (a *assembly) add(at int, payload []byte, last bool) addition {
	end := at + len(payload)
	if last {
		if a.end >= 0 && a.end != end || len(a.parts) > 0 && a.parts[len(a.parts)-1].end() > end {
			return overlap
		}
	} else if a.end >= 0 && end > a.end {
		return overlap
	}
	i, _ := slices.BinarySearchFunc(a.parts, at, func(p part, at int) int { return p.at - at })
	if i < len(a.parts) && a.parts[i].at == at && a.parts[i].end() == end {
		return duplicate
	}
	if i < len(a.parts) && a.parts[i].at < end || i > 0 && a.parts[i-1].end() > at {
		return overlap
	}
	if last {
		a.end = end
	}
	a.parts = slices.Insert(a.parts, i, part{at, payload})
	a.have += len(payload)
	return added
}

func (p part) end() int { return p.at + len(p.bytes) }

func (a *assembly) assemble(v6 bool) []byte {
	b := slices.Grow(slices.Clone(a.head), a.end)
	for _, p := range a.parts {
		b = append(b, p.bytes...)
	}
	if v6 {
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-v6Header))
		return b
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	b[6], b[7] = b[6]&0x40, 0
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], ^uint16(checksum(b[:len(a.head)], 0)))
	return b
}

func (d *defrag) forget(key fragKey, a *assembly) {
	a.expiry.Stop()
	for _, p := range a.parts {
		d.memory -= len(p.bytes) + fragOverhead
	}
	a.parts = nil
	delete(d.open, key)
}

// lastNext is where the headers before a fragment header say what comes next.
func lastNext(head []byte) int {
	at, field := v6Header, 6
	for at < len(head) {
		field, at = at, at+(int(head[at+1])+1)*8
	}
	return field
}
