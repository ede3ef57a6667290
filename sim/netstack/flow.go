package netstack

import (
	"encoding/binary"
	"net/netip"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/replay"
)

// flow is one connection as the Fabric knows it: the number that orders its packets, whatever addresses they bear on the way.
type flow struct {
	number   int64
	keys     [4]uint64 // of the tuples under which stacks send its packets
	endpoint netip.AddrPort
	seen     netip.AddrPort
	requests uint64              // that servers have taken
	told     func(replay.Result) // hears ICMP errors about the opener's packets; nil when nobody does
	asked    []sizes             // what requests on the way say, the oldest first
}

// flows finds flows by the tuple that a stack sends with: the opener's own, and the reverse of what arrived at the other end.
type flows struct {
	by      map[uint64]*flow
	retired []*flow // a ring: flows stay findable for a while after their end
	next    int
}

const retiredFlows = 1024

func (s *flows) init() {
	s.by = map[uint64]*flow{}
	s.retired = make([]*flow, retiredFlows)
}

// unnumbered is where the numbers of flows begin that nobody opened: they come after all others, by a hash of their tuple.
const unnumbered = 1 << 62

// keyOf is a hash of a tuple, the same in every run.
func keyOf(proto packet.Protocol, src, dst netip.AddrPort) uint64 {
	h := uint64(proto)<<32 | uint64(src.Port())<<16 | uint64(dst.Port())
	if src.Addr().Is4() && dst.Addr().Is4() {
		a, b := src.Addr().As4(), dst.Addr().As4()
		return scramble(scramble(h) ^ uint64(binary.BigEndian.Uint32(a[:]))<<32 ^ uint64(binary.BigEndian.Uint32(b[:])))
	}
	a, b := src.Addr().As16(), dst.Addr().As16()
	h = scramble(scramble(h) ^ binary.BigEndian.Uint64(a[:8]))
	h = scramble(h ^ binary.BigEndian.Uint64(a[8:]))
	h = scramble(h ^ binary.BigEndian.Uint64(b[:8]))
	return scramble(h ^ binary.BigEndian.Uint64(b[8:]))
}

// numberOf is the number of the flow whose packets leave a stack under a key.
func (f *Fabric) numberOf(key uint64) int64 {
	if fl := f.flows.by[key]; fl != nil {
		return fl.number
	}
	return int64(unnumbered | key>>2)
}

// scramble is the finaliser of SplitMix64.
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// add makes a flow known under a key; the newest of a key counts.
func (s *flows) add(fl *flow, key uint64) {
	i := 0
	for i < len(fl.keys)-1 && fl.keys[i] != 0 && fl.keys[i] != key {
		i++
	}
	if old := fl.keys[i]; old != 0 && old != key && s.by[old] == fl {
		delete(s.by, old)
	}
	fl.keys[i], s.by[key] = key, fl
}

// retire lets go of a flow, once as many others have ended after it as the ring holds.
func (s *flows) retire(fl *flow) {
	if old := s.retired[s.next]; old != nil {
		for _, k := range old.keys {
			if k != 0 && s.by[k] == old {
				delete(s.by, k)
			}
		}
	}
	s.retired[s.next] = fl
	s.next = (s.next + 1) % len(s.retired)
}

// sizes is what a request says of itself: how long it is, and how long a reply it wants.
type sizes struct{ request, reply int }

// flowOf finds the flow of a packet that a stack sends.
func (f *Fabric) flowOf(it *item) {
	var p packet.Packet
	var l layout
	if read(buffered(it.pkt), it.pkt.Size(), &p, &l) != sound {
		it.flow = unnumbered
		return
	}
	key := keyOf(p.Proto, p.Src, p.Dst)
	if p.IsICMPError() && p.Quoted.IsValid() { // about a packet that the stack got
		it.icmp = true
		key = keyOf(p.Quoted.Proto, p.Quoted.Dst, p.Quoted.Src)
	}
	if it.fl = f.flows.by[key]; it.fl != nil {
		it.flow = it.fl.number
		return
	}
	it.flow = int64(unnumbered | key>>2)
}

// learn notes under which tuple the answers to a first packet will come.
func (f *Fabric) learn(it *item, p *packet.Packet) {
	if it.fl == nil || p.Proto == packet.TCP && p.TCPFlags&(packet.SYN|packet.ACK) != packet.SYN || p.FragmentOffset != 0 {
		return
	}
	key := keyOf(p.Proto, p.Dst, p.Src)
	if f.flows.by[key] != it.fl {
		it.fl.endpoint, it.fl.seen = p.Dst, p.Src
		f.flows.add(it.fl, key)
	}
}
