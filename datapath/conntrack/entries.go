package conntrack

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"github.com/svclab/svclab/datapath/journal"
	"github.com/svclab/svclab/datapath/packet"
)

// All yields the confirmed entries in the order of their creation. Entries inserted for replies only, after a clash, are
// left out, as the kernel leaves them out of its listings. The table must not be changed meanwhile.
func (t *Table) All() iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) {
		for _, c := range t.sorted() {
			if !c.Status.Has(Clash) && !yield(c) {
				return
			}
		}
	}
}

// sorted returns every confirmed entry in the order of creation.
func (t *Table) sorted() []*Conn {
	list := make([]*Conn, 0, t.inSet)
	for slot := range t.used {
		if c := t.conn(int32(slot)); c.live && c.Status.Has(Confirmed) {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b *Conn) int { return cmp.Compare(a.serial, b.serial) })
	return list
}

// Delete removes the confirmed entries that a filter wants gone, as conntrack -D does, and returns how many. The filter
// sees them in the order of All; a nil filter removes all.
func (t *Table) Delete(filter func(*Conn) bool, j *journal.Journal) (n int) {
	for _, c := range t.sorted() {
		if filter == nil || filter(c) {
			t.remove(c, j)
			n++
		}
	}
	return n
}

// KillInterface removes the entries whose source MASQUERADE took from an interface: what happens when its address goes
// or it goes down (net/netfilter/nf_nat_masquerade.c, device_cmp).
func (t *Table) KillInterface(name string, j *journal.Journal) int {
	return t.Delete(func(c *Conn) bool { return c.MasqueradeOut == name && name != "" }, j)
}

// OutputChanged reports whether a masqueraded connection's packet in original direction is about to leave by another
// interface than the one whose address it uses; the nat hook then kills the entry and drops the packet
// (include/net/netfilter/nf_nat.h, nf_nat_oif_changed). It is to be asked in POSTROUTING.
func (c *Conn) OutputChanged(out string, info Info) bool {
	return c.MasqueradeOut != "" && !info.IsReply() && c.MasqueradeOut != out
}

// SetMasquerade notes the interface whose address the connection's source was taken from.
func (c *Conn) SetMasquerade(out string, j *journal.Journal) {
	if j.On() {
		save(j, &c.MasqueradeOut)
	}
	c.MasqueradeOut = out
}

// SetMark sets the connection's mark, as CONNMARK does.
func (c *Conn) SetMark(mark uint32, j *journal.Journal) {
	if j.On() {
		save(j, &c.Mark)
	}
	c.Mark = mark
}

// Entry describes a connection from outside: what Insert makes and what a listing shows.
type Entry struct {
	Original, Reply packet.Tuple
	State           State  // of the protocol's machine; 0 for protocols without states
	Status          Status // SeenReply and Assured are taken over; NAT bits follow from the tuples
	Mark            uint32
	Timeout         time.Duration // time left
	MasqueradeOut   string
}

// Insert puts a confirmed entry into the table: for tests, for tables read from a listing, and for states given by a
// scenario. It reports an *EntryError: ErrExists if one of the tuples is taken, ErrFull if the table is full, ErrTuple if a
// tuple lacks addresses.
func (t *Table) Insert(now time.Duration, e Entry, j *journal.Journal) (*Conn, error) {
	if !e.Original.IsValid() || !e.Reply.IsValid() || !e.Original.Src.IsValid() || !e.Reply.Src.IsValid() {
		return nil, &EntryError{Entry: e.Original, Err: ErrTuple}
	}
	h0, h1 := hashTuple(t.cfg.Seed, &e.Original), hashTuple(t.cfg.Seed, &e.Reply)
	if c, _ := t.find(h0, &e.Original, now); c != nil {
		return nil, &EntryError{Entry: e.Original, Err: ErrExists}
	}
	if c, _ := t.find(h1, &e.Reply, now); c != nil {
		return nil, &EntryError{Entry: e.Reply, Err: ErrExists}
	}
	if t.cfg.Max > 0 && t.live >= t.cfg.Max {
		return nil, &EntryError{Entry: e.Original, Err: ErrFull}
	}
	c := t.alloc(j)
	c.Original, c.Reply, c.State, c.Mark, c.MasqueradeOut = e.Original, e.Reply, e.State, e.Mark, e.MasqueradeOut
	c.Status = e.Status&(SeenReply|Assured) | SrcNATDone | DstNATDone
	if e.Reply.Src != reverse(&e.Original).Src {
		c.Status |= DstNAT
	}
	if e.Reply.Dst != reverse(&e.Original).Dst {
		c.Status |= SrcNAT
		t.mapSource(c, j)
	}
	c.Created = now
	c.proto.streamAt = now + streamAfter
	if e.Original.Proto == packet.TCP {
		switch e.State { // how it came to this is not told: closed by FIN, or reset by the client
		case TCPFinWait, TCPCloseWait, TCPLastAck, TCPTimeWait:
			c.proto.flags = closeInit
		case TCPClose:
			c.proto.lastKind = kindRst
		}
	}
	c.hash, c.hashed = [2]uint32{h0, h1}, true
	t.insert(c, now, e.Timeout, true, j)
	return c, nil
}
