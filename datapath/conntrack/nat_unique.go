package conntrack

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath/journal"
	"github.com/svclab/svclab/datapath/packet"
)

// PortOffsets is the n that a port search asks chance for: the kernel starts at a 16-bit random number modulo the size
// of the range (net/netfilter/nf_nat_core.c, nf_nat_l4proto_unique_tuple, v6.1). A source that enumerates outcomes can
// tell port searches, of which the choice of a backend never depends, by it.
const PortOffsets = 1 << 16

// search is one search for a tuple that nobody uses.
type search struct {
	t      *Table
	c      *Conn
	now    time.Duration
	m      Manip
	r      Range
	chance interface{ Intn(int) int }
	j      *journal.Journal

	free      packet.Tuple // reply tuple last found to be free, and its hash
	freeHash  uint32
	freeKnown bool
}

// unique is get_unique_tuple (net/netfilter/nf_nat_core.c, v6.1).
func (s *search) unique(orig *packet.Tuple) packet.Tuple {
	random := s.r.Random || s.r.RandomFully
	// 1. Keep the source if it is allowed; else use the mapping it already has, if that is allowed.
	if s.m == ManipSource && !random {
		if s.allowed(orig) {
			if !s.used(orig) {
				return *orig
			}
		} else if t, ok := s.mapping(orig); ok && !s.used(&t) {
			return t
		}
	}
	// 2. The address.
	t := *orig
	s.chooseAddr(&t)
	// 3. The original port, if it is in range and free. One single port is taken without asking.
	if !random {
		if s.r.HasPorts {
			if s.portAllowed(&t) && (s.r.MinPort == s.r.MaxPort || !s.used(&t)) {
				return t
			}
		} else if !s.used(&t) {
			return t
		}
	}
	// 4. A search.
	s.searchPort(&t)
	return t
}

// searchPort tries up to 128 ports upwards from a random one, then half as many from another, down to 8. The last one
// tried stays if none is free; the packet is then dropped at confirmation.
func (s *search) searchPort(t *packet.Tuple) {
	icmp := t.Proto == packet.ICMP || t.Proto == packet.ICMPv6
	if !icmp && !t.Proto.HasPorts() {
		return
	}
	lo, size := 0, 1<<16
	switch {
	case s.r.HasPorts:
		a, b := int(s.r.MinPort), int(s.r.MaxPort)
		lo, size = min(a, b), max(a, b)-min(a, b)+1
	case icmp:
	case s.m == ManipDestination:
		return // the port of a destination changes only when the rule says so
	default:
		lo, size = portClass(t.Src.Port())
	}
	const maxAttempts, minAttempts = 128, 16
	for attempts := min(size, maxAttempts); ; attempts /= 2 {
		off := uint16(0)
		if size > 1 {
			off = uint16(s.chance.Intn(PortOffsets))
		}
		for i := range attempts {
			port := uint16(lo + int(off)%size)
			if icmp || s.m == ManipSource {
				t.Src = netip.AddrPortFrom(t.Src.Addr(), port)
			} else {
				t.Dst = netip.AddrPortFrom(t.Dst.Addr(), port)
			}
			if !s.usedHarder(t, attempts-i) {
				return
			}
			off++
		}
		if attempts >= size || attempts < minAttempts {
			return
		}
	}
}

// portClass returns the first port and the size of the class a source port is replaced from: low ports stay low, for
// services that trust them.
func portClass(port uint16) (lo, size int) {
	switch {
	case port < 512:
		return 1, 511
	case port < 1024:
		return 600, 1023 - 600 + 1
	}
	return 1024, 65535 - 1024 + 1
}

// used reports whether the replies of a tuple belong to another connection (nf_nat_used_tuple and
// nf_conntrack_core.c, nf_conntrack_tuple_taken). A connection with the same original tuple does not count: it is the same
// flow, and the clash is settled at confirmation.
func (s *search) used(tuple *packet.Tuple) bool {
	reply := reverse(tuple)
	h := hashTuple(s.t.cfg.Seed, &reply)
	if other, _ := s.t.find(h, &reply, s.now); other != nil {
		return other.Original != s.c.Original
	}
	s.free, s.freeHash, s.freeKnown = reply, h, true
	return false
}

// usedHarder is used, but on newer kernels the last attempts of a TCP search evict a closed connection whose source was
// translated (nf_nat_used_tuple_harder, nf_nat_may_kill). That sequence numbers have moved on is taken for granted.
func (s *search) usedHarder(tuple *packet.Tuple, attemptsLeft int) bool {
	const harder = 32 // NF_NAT_HARDER_THRESH
	if !s.t.cfg.TimeWaitReuse || attemptsLeft > harder || tuple.Proto != packet.TCP || s.c.State != TCPSynSent {
		return s.used(tuple)
	}
	reply := reverse(tuple)
	h := hashTuple(s.t.cfg.Seed, &reply)
	if other, isReply := s.t.find(h, &reply, s.now); other != nil {
		if !isReply || other.State < TCPTimeWait || !other.Status.Has(SrcNAT) || other.Status.Has(FixedTimeout) {
			return true
		}
		s.t.remove(other, s.j)
	}
	s.free, s.freeHash, s.freeKnown = reply, h, true
	return false
}

// allowed reports whether a tuple lies in the range already (nf_in_range).
func (s *search) allowed(t *packet.Tuple) bool {
	if s.r.MinAddr.IsValid() {
		a := s.addr(t)
		if a.Less(s.r.MinAddr) || s.r.MaxAddr.Less(a) {
			return false
		}
	}
	return !s.r.HasPorts || s.portAllowed(t)
}

func (s *search) addr(t *packet.Tuple) netip.Addr {
	if s.m == ManipSource {
		return t.Src.Addr()
	}
	return t.Dst.Addr()
}

func (s *search) portAllowed(t *packet.Tuple) bool {
	port := t.Src.Port()
	switch {
	case t.Proto == packet.ICMP || t.Proto == packet.ICMPv6:
	case !t.Proto.HasPorts():
		return true
	case s.m == ManipDestination:
		port = t.Dst.Port()
	}
	return s.r.MinPort <= port && port <= s.r.MaxPort
}

// chooseAddr sets the address: the only one there is, or one of a range by a hash of source and destination, so that a
// client keeps it (find_best_ips_proto). The hash works on 32-bit words as a little-endian machine sees them.
func (s *search) chooseAddr(t *packet.Tuple) {
	if !s.r.MinAddr.IsValid() {
		return
	}
	a := s.r.MinAddr
	if s.r.MinAddr != s.r.MaxAddr {
		a = s.hashedAddr(t)
	}
	if s.m == ManipSource {
		t.Src = netip.AddrPortFrom(a, t.Src.Port())
	} else {
		t.Dst = netip.AddrPortFrom(a, t.Dst.Port())
	}
}

func (s *search) hashedAddr(t *packet.Tuple) netip.Addr {
	src, dst := words(t.Src.Addr()), words(t.Dst.Addr())
	lo, hi := words(s.r.MinAddr), words(s.r.MaxAddr)
	n := 4
	if t.Src.Addr().Is4() {
		n = 1
	}
	var init uint32
	if !s.r.Persistent {
		init = dst[n-1]
	}
	h := jhash(src, init)
	var out [16]byte
	full := false
	for i := range n {
		base, dist := uint32(0), ^uint32(0)
		if !full {
			base = bits.ReverseBytes32(lo[i])
			dist = bits.ReverseBytes32(hi[i]) - base + 1
		}
		v := base + uint32(uint64(h)*uint64(dist)>>32)
		binary.BigEndian.PutUint32(out[4*i:], v)
		if bits.ReverseBytes32(v) != hi[i] {
			full = true
		}
		if !s.r.Persistent {
			h ^= dst[i]
		}
	}
	if n == 1 {
		return netip.AddrFrom4([4]byte(out[:4]))
	}
	return netip.AddrFrom16(out)
}

// words splits an address into words, in the order of its bytes; an IPv4 address fills the first.
func words(a netip.Addr) (w [4]uint32) {
	if a.Is4() {
		b := a.As4()
		w[0] = binary.LittleEndian.Uint32(b[:])
		return w
	}
	b := a.As16()
	for i := range w {
		w[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return w
}

// jhash is Bob Jenkins' lookup3 over four words (include/linux/jhash.h, jhash2).
func jhash(w [4]uint32, init uint32) uint32 {
	a := uint32(0xdeadbeef) + 4<<2 + init
	b, c := a, a
	a, b, c = a+w[0], b+w[1], c+w[2]
	rot := bits.RotateLeft32
	a = a - c ^ rot(c, 4)
	c += b
	b = b - a ^ rot(a, 6)
	a += c
	c = c - b ^ rot(b, 8)
	b += a
	a = a - c ^ rot(c, 16)
	c += b
	b = b - a ^ rot(a, 19)
	a += c
	c = c - b ^ rot(b, 4)
	b += a
	a += w[3]
	c = c ^ b - rot(b, 14)
	a = a ^ c - rot(c, 11)
	b = b ^ a - rot(a, 25)
	c = c ^ b - rot(b, 16)
	a = a ^ c - rot(c, 4)
	b = b ^ a - rot(a, 14)
	c = c ^ b - rot(b, 24)
	return c
}
