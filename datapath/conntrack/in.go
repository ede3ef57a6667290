package conntrack

import (
	"time"

	"github.com/svclab/svclab/datapath/journal"
	"github.com/svclab/svclab/datapath/packet"
)

// In is the hook function at priority -200 in PREROUTING and OUTPUT: it finds the packet's connection or makes a new,
// unconfirmed one, and moves its state machine (net/netfilter/nf_conntrack_core.c, nf_conntrack_in). ok is false when
// the packet must be dropped; c is nil when it is accepted untracked or INVALID. Packets that the raw table exempted
// (NOTRACK) must not be given to In.
func (t *Table) In(now time.Duration, p *packet.Packet, j *journal.Journal) (c *Conn, info Info, ok bool) {
	if p.Proto == packet.ICMP || p.Proto == packet.ICMPv6 {
		if c, info, done := t.icmpError(now, p, j); done {
			return c, info, true
		}
	}
	tp := p.Tuple()
	if p.IsLaterFragment() || !trackable(p, &tp) {
		return t.invalid(j)
	}
	hash := hashTuple(t.cfg.Seed, &tp)
	if j.On() {
		save(j, &t.Stats)
	}
	for {
		t.Stats.Searches++
		c, reply := t.find(hash, &tp, now)
		if c == nil {
			if c = t.create(now, hash, &tp, j); c == nil {
				return nil, Invalid, false
			}
			info = New
		} else {
			t.Stats.Found++
			if j.On() {
				save(j, c)
			}
			switch {
			case reply:
				info = EstablishedReply
			case c.Status.Has(SeenReply):
				info = Established
			default:
				info = New
			}
		}
		switch t.advanceState(now, c, info, p, j) {
		case packetInvalid:
			if !c.Status.Has(Confirmed) {
				t.remove(c, j)
			}
			return t.invalid(j)
		case packetRepeat:
			t.remove(c, j)
			t.Stats.SearchRestart++
			continue
		}
		if info == EstablishedReply {
			c.Status |= SeenReply
		}
		return c, info, true
	}
}

// answer is what a protocol's machine says of a packet.
type answer uint8

const (
	packetValid   answer = iota
	packetInvalid        // not tracked; the packet goes on without a connection
	packetRepeat         // the entry is of the past: end it and look again
)

// advanceState runs the machine of the packet's protocol (nf_conntrack_core.c, nf_conntrack_handle_packet).
func (t *Table) advanceState(now time.Duration, c *Conn, info Info, p *packet.Packet, j *journal.Journal) answer {
	switch p.Proto {
	case packet.TCP:
		return t.tcpPacket(now, c, info, p, j)
	case packet.UDP:
		return t.udpPacket(now, c, j)
	case packet.SCTP:
		return t.sctpPacket(now, c, info, p, j)
	case packet.ICMP:
		return t.icmpPacket(now, c, t.cfg.Timeouts.ICMP, j)
	case packet.ICMPv6:
		return t.icmpPacket(now, c, t.cfg.Timeouts.ICMPv6, j)
	}
	t.refresh(now, c, t.cfg.Timeouts.Generic, j)
	return packetValid
}

// create makes an unconfirmed entry, or returns nil when the table is full (nf_conntrack_core.c, __nf_conntrack_alloc).
func (t *Table) create(now time.Duration, hash uint32, tp *packet.Tuple, j *journal.Journal) *Conn {
	if t.cfg.Max > 0 && t.live >= t.cfg.Max && !t.earlyDrop(now, hash, j) {
		t.Stats.TableFull++
		t.Stats.Drop++
		return nil
	}
	c := t.alloc(j)
	c.Original, c.Reply = *tp, reverse(tp)
	c.Created = now
	c.hash[0] = hash
	return c
}

// earlyDrop evicts the unassured entries of the first bucket, of eight from a new flow's own onwards, that has any
// (nf_conntrack_core.c, early_drop).
func (t *Table) earlyDrop(now time.Duration, hash uint32, j *journal.Journal) bool {
	const range8 = 8 // NF_CT_EVICTION_RANGE
	buckets := uint64(t.cfg.Buckets)
	bucket := uint64(hash) * buckets >> 32
	for range min(range8, buckets) {
		if n := t.evictBucket(bucket, buckets, now, j); n > 0 {
			t.Stats.EarlyDrop += uint64(n)
			return true
		}
		bucket = (bucket + 1) % buckets
	}
	return false
}

// evictBucket removes the unassured entries of one of the kernel's buckets, which holds the hashes h with
// h*buckets>>32 == bucket: a contiguous range, found by scanning the index from the home of its first hash.
func (t *Table) evictBucket(bucket, buckets uint64, now time.Duration, j *journal.Journal) (evicted int) {
	x := &t.tuples
	mask := len(x.slots) - 1
	first := (bucket<<32 + buckets - 1) / buckets
	last := ((bucket+1)<<32 - 1) / buckets
	pos, end := x.home(uint32(first)), x.home(uint32(last))
	for left := len(x.slots); left > 0; left-- {
		e := x.slots[pos]
		if e == 0 {
			if pos == end {
				return evicted
			}
			if (end-pos)&mask > (end-x.home(uint32(first)))&mask {
				return evicted // past the range
			}
		} else if h := e >> 32; h*buckets>>32 == bucket {
			c := t.conn(int32((uint32(e) - 1) >> 1))
			if !c.Status.Has(Assured) || c.Expires <= now {
				t.remove(c, j)
				evicted++
				continue // the gap was closed: look at the same position again
			}
		}
		pos = (pos + 1) & mask
	}
	return evicted
}

// invalid counts a packet that cannot be tracked.
func (t *Table) invalid(j *journal.Journal) (*Conn, Info, bool) {
	if j.On() {
		save(j, &t.Stats)
	}
	t.Stats.Invalid++
	return nil, Invalid, true
}

// refresh puts the end of an entry off (nf_conntrack_core.c, __nf_ct_refresh_acct). The caller has journaled c.
func (t *Table) refresh(now time.Duration, c *Conn, d time.Duration, j *journal.Journal) {
	if c.Status.Has(FixedTimeout) {
		return
	}
	c.Expires = now + d
	if c.Status.Has(Confirmed) && c.Expires < c.filed {
		t.unschedule(c.slot, j)
		t.schedule(c.slot, c.Expires, j)
	}
}

// trackable reports whether a packet has a tuple that can be inverted.
func trackable(p *packet.Packet, tp *packet.Tuple) bool {
	if p.Proto == packet.ICMP || p.Proto == packet.ICMPv6 {
		return icmpInvertible(p.Proto, p.ICMPType)
	}
	return tp.Dst.Addr().IsValid()
}

// reverse is Tuple.Reverse with the common case inlined.
func reverse(t *packet.Tuple) packet.Tuple {
	if t.Proto == packet.ICMP || t.Proto == packet.ICMPv6 {
		return t.Reverse()
	}
	return packet.Tuple{Src: t.Dst, Dst: t.Src, Proto: t.Proto}
}
