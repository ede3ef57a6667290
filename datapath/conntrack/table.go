package conntrack

import (
	"time"

	"github.com/svclab/svclab/datapath/journal"
	"github.com/svclab/svclab/datapath/packet"
)

// Table is the flow table of one node. Entries live in slabs and are found through one index of both their tuples, so
// that a flow costs no allocation once the table has its size. Make one with NewTable.
type Table struct {
	cfg   Config
	slabs []*slab
	used  int   // slots ever handed out
	free  int32 // first free slot, noSlot when none; linked by timer.next
	live  int   // entries, unconfirmed ones included
	inSet int   // confirmed entries

	seq     uint64 // entries ever made
	inserts uint32 // entries ever confirmed, modulo 2^32 - 1

	tuples  index // original and reply tuples: reference is slot<<1|direction
	sources index // original sources that are mapped to another: reference is the slot of the newest
	wheel   wheel

	// Stats are the table's counters. Changes are journaled.
	Stats Stats
}

// Stats are counters of a table, named as conntrack -S names them (include/linux/netfilter/nf_conntrack_common.h,
// struct ip_conntrack_stat).
type Stats struct {
	Searches      uint64 // lookups by packets
	Found         uint64 // lookups that found an entry
	Invalid       uint64 // packets that could not be tracked
	Insert        uint64 // entries confirmed
	InsertFailed  uint64 // entries that could not be confirmed
	Drop          uint64 // packets dropped: table full, or entry not confirmed
	EarlyDrop     uint64 // entries evicted because the table was full
	TableFull     uint64 // packets dropped because the table was full ("nf_conntrack: table full, dropping packet")
	ClashResolve  uint64 // clashes at confirmation that were resolved
	Deleted       uint64 // entries removed, for whatever reason
	SearchRestart uint64 // packets looked up again, after a new SYN ended an old entry
}

const noInsert = ^uint32(0) // a value that inserts never has

const (
	slabBits = 9
	slabLen  = 1 << slabBits
)

type slab struct {
	conns  [slabLen]Conn
	timers [slabLen]timer
}

// NewTable returns an empty table. Zero timeouts in cfg stand for the defaults.
func NewTable(cfg Config) *Table {
	cfg.Timeouts = cfg.Timeouts.withDefaults()
	if cfg.Buckets <= 0 {
		cfg.Buckets = cfg.Max
	}
	if cfg.Buckets <= 0 {
		cfg.Buckets = 1 << 18
	}
	t := &Table{cfg: cfg, free: noSlot}
	t.tuples.init(minIndexBits)
	t.sources.init(minIndexBits)
	t.wheel.init()
	return t
}

// Config returns the table's settings, defaults filled in.
func (t *Table) Config() Config { return t.cfg }

// SetMax changes nf_conntrack_max; entries beyond a lower limit stay.
func (t *Table) SetMax(n int, j *journal.Journal) {
	if j.On() {
		save(j, &t.cfg.Max)
	}
	t.cfg.Max = n
}

// Len is the number of entries, as nf_conntrack_count: those of packets still under way are included.
func (t *Table) Len() int { return t.live }

func (t *Table) conn(slot int32) *Conn   { return &t.slabs[slot>>slabBits].conns[slot&(slabLen-1)] }
func (t *Table) timer(slot int32) *timer { return &t.slabs[slot>>slabBits].timers[slot&(slabLen-1)] }

// alloc hands out an entry, zeroed but for its bookkeeping.
func (t *Table) alloc(j *journal.Journal) *Conn {
	if j.On() {
		save(j, &t.free)
		save(j, &t.used)
		save(j, &t.live)
		save(j, &t.seq)
	}
	slot := t.free
	if slot != noSlot {
		t.free = t.timer(slot).next
	} else {
		slot = int32(t.used)
		if t.used>>slabBits == len(t.slabs) {
			t.slabs = append(t.slabs, new(slab)) // stays after a rollback, unused
		}
		t.used++
	}
	c, tm := t.conn(slot), t.timer(slot)
	if j.On() {
		save(j, c)
		save(j, tm)
	}
	t.live++
	t.seq++
	*c = Conn{table: t, slot: slot, live: true, serial: t.seq, newAt: t.inserts, freeAt: noInsert}
	*tm = timer{list: noSlot}
	return c
}

// release gives an entry's memory back. What it held stays readable until the next new entry.
func (t *Table) release(c *Conn, j *journal.Journal) {
	tm := t.timer(c.slot)
	if j.On() {
		save(j, c)
		save(j, tm)
		save(j, &t.free)
		save(j, &t.live)
	}
	c.live = false
	c.Status |= Dying
	tm.next, tm.list = t.free, noSlot
	t.free = c.slot
	t.live--
}

// insert makes an entry visible. The hashes must be set.
func (t *Table) insert(c *Conn, now, lifetime time.Duration, bothDirections bool, j *journal.Journal) {
	if j.On() {
		save(j, c)
		save(j, &t.inSet)
		save(j, &t.inserts)
	}
	if t.inserts++; t.inserts == noInsert {
		t.inserts = 0
	}
	c.Status |= Confirmed
	c.Expires = now + lifetime
	t.inSet++
	if bothDirections {
		t.tuples.add(c.hash[0], uint32(c.slot)<<1, j)
	}
	t.tuples.add(c.hash[1], uint32(c.slot)<<1|1, j)
	t.schedule(c.slot, c.Expires, j)
}

// remove ends an entry, confirmed or not.
func (t *Table) remove(c *Conn, j *journal.Journal) {
	if !c.live {
		return
	}
	if j.On() {
		save(j, &t.inSet)
		save(j, &t.Stats)
	}
	if c.Status.Has(Confirmed) {
		if !c.Status.Has(Clash) {
			t.tuples.remove(c.hash[0], uint32(c.slot)<<1, j)
		}
		t.tuples.remove(c.hash[1], uint32(c.slot)<<1|1, j)
		t.unschedule(c.slot, j)
		t.inSet--
		t.Stats.Deleted++
	}
	t.unmapSource(c, j)
	t.release(c, j)
}

// Release gives up an entry that was not confirmed, because its packet was dropped. On a nil, confirmed or already
// released entry it does nothing, so that the end of every walk can call it.
func (t *Table) Release(c *Conn, j *journal.Journal) {
	if c != nil && c.live && !c.Status.Has(Confirmed) {
		t.remove(c, j)
	}
}

// Kill removes an entry at once (nf_conntrack_core.c, nf_ct_kill).
func (t *Table) Kill(c *Conn, j *journal.Journal) { t.remove(c, j) }

// find returns the confirmed entry that has a tuple in either direction. Entries whose time has come are not found.
func (t *Table) find(hash uint32, tp *packet.Tuple, now time.Duration) (c *Conn, reply bool) {
	x := &t.tuples
	mask := len(x.slots) - 1
	for pos := x.home(hash); x.slots[pos] != 0; pos = (pos + 1) & mask {
		e := x.slots[pos]
		if uint32(e>>32) != hash {
			continue
		}
		ref := uint32(e) - 1
		c := t.conn(int32(ref >> 1))
		if ref&1 == 0 {
			if same(&c.Original, tp) && c.Expires > now {
				return c, false
			}
		} else if same(&c.Reply, tp) && c.Expires > now {
			return c, true
		}
	}
	return nil, false
}

// same is *a == *b, in parts that the compiler compares in place.
func same(a, b *packet.Tuple) bool {
	return a.Src == b.Src && a.Dst == b.Dst && a.Proto == b.Proto
}

// Lookup returns the confirmed entry that a packet with this tuple would belong to at the given time, and whether the
// tuple is that of its replies. It returns nil when there is none, and changes nothing.
func (t *Table) Lookup(now time.Duration, tp packet.Tuple) (c *Conn, reply bool) {
	return t.find(hashTuple(t.cfg.Seed, &tp), &tp, now)
}
