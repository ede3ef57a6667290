package conntrack

import (
	"github.com/svclab/svclab/datapath/journal"
	"github.com/svclab/svclab/datapath/packet"
)

// Source mappings: connections whose source was changed, found by their original source, so that another connection
// of that source can get the same address and port (net/netfilter/nf_nat_core.c, nf_nat_bysource). Each source has one
// reference in the index, to its newest mapping; the others follow in a list. Connections that kept their source are not
// listed: that they use it says nothing new.

// mapping returns orig with the source that some connection of the same source has been given, if the range allows it
// (find_appropriate_src).
func (s *search) mapping(orig *packet.Tuple) (packet.Tuple, bool) {
	t := s.t
	if t.sources.n == 0 {
		return packet.Tuple{}, false
	}
	head := t.sourceHead(hashSource(t.cfg.Seed, orig), orig)
	for slot := head; slot != noSlot; {
		c := t.conn(slot)
		if got := (packet.Tuple{Src: c.Reply.Dst, Dst: orig.Dst, Proto: orig.Proto}); s.allowed(&got) {
			return got, true
		}
		slot = c.srcNext
	}
	return packet.Tuple{}, false
}

// sourceHead returns the newest mapping of a source.
func (t *Table) sourceHead(hash uint32, orig *packet.Tuple) int32 {
	x := &t.sources
	mask := len(x.slots) - 1
	for pos := x.home(hash); x.slots[pos] != 0; pos = (pos + 1) & mask {
		e := x.slots[pos]
		if uint32(e>>32) != hash {
			continue
		}
		slot := int32(uint32(e) - 1)
		if c := t.conn(slot); c.Original.Src == orig.Src && c.Original.Proto == orig.Proto {
			return slot
		}
	}
	return noSlot
}

// mapSource lists a connection under its original source. The caller has journaled c.
func (t *Table) mapSource(c *Conn, j *journal.Journal) {
	hash := hashSource(t.cfg.Seed, &c.Original)
	c.srcPrev, c.srcNext = noSlot, t.sourceHead(hash, &c.Original)
	c.mapped = true
	if c.srcNext == noSlot {
		t.sources.add(hash, uint32(c.slot), j)
		return
	}
	head := t.conn(c.srcNext)
	if j.On() {
		save(j, head)
	}
	head.srcPrev = c.slot
	t.sources.replace(hash, uint32(head.slot), uint32(c.slot), j)
}

// unmapSource takes a connection out of the list of its source.
func (t *Table) unmapSource(c *Conn, j *journal.Journal) {
	if !c.mapped {
		return
	}
	if j.On() {
		save(j, c)
	}
	c.mapped = false
	hash := hashSource(t.cfg.Seed, &c.Original)
	if c.srcNext != noSlot {
		next := t.conn(c.srcNext)
		if j.On() {
			save(j, next)
		}
		next.srcPrev = c.srcPrev
	}
	switch {
	case c.srcPrev != noSlot:
		prev := t.conn(c.srcPrev)
		if j.On() {
			save(j, prev)
		}
		prev.srcNext = c.srcNext
	case c.srcNext != noSlot:
		t.sources.replace(hash, uint32(c.slot), uint32(c.srcNext), j)
	default:
		t.sources.remove(hash, uint32(c.slot), j)
	}
}

// replace exchanges a reference for another with the same hash, in place.
func (x *index) replace(hash, ref, with uint32, j *journal.Journal) {
	pos := x.at(hash, ref)
	if j.On() {
		save(j, &x.slots[pos])
	}
	x.slots[pos] = pack(hash, with)
}
