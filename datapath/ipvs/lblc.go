package ipvs

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/svclab/svclab/datapath/journal"
	"github.com/svclab/svclab/datapath/netfilter"
)

// The caches of lblc and lblcr (net/netfilter/ipvs/ip_vs_lblc.c, ip_vs_lblcr.c): a look every minute, a full one every
// thirtieth; over the maximum, entries unused for six minutes are collected from the rover on.
const (
	cacheBuckets   = 1024
	cacheMax       = cacheBuckets * 16
	cacheInterval  = time.Minute
	cacheFullEvery = 30
	cacheUnused    = 6 * time.Minute
)

// cacheEntry is what is remembered of one destination address: one server for lblc, a set for lblcr.
type cacheEntry struct {
	addr    netip.Addr
	servers []*Destination // lblcr: newest member first
	used    time.Duration
	changed time.Duration // lblcr: when the set was changed
}

// cache is the table of lblc and lblcr.
type cache struct {
	entries map[netip.Addr]*cacheEntry
	counter int
	rover   int
	next    time.Duration
	full    func() time.Duration // how long an entry lives unused
}

func newCache(s *Service, full func() time.Duration) cache {
	return cache{entries: map[netip.Addr]*cacheEntry{}, counter: 1, next: s.table.now + cacheInterval, full: full}
}

func (c *cache) nextTick() time.Duration { return c.next }

// tick is one look of the timer (ip_vs_lblc_check_expire, ip_vs_lblc_full_check).
func (c *cache) tick(_ *Service, now time.Duration) {
	c.next = now + cacheInterval
	if c.counter%cacheFullEvery == 0 {
		for a, e := range c.entries {
			if now >= e.used+c.full() {
				c.drop(a)
			}
		}
		c.rover = 0
		c.counter = 1
		return
	}
	over := len(c.entries) - cacheMax
	if over <= 0 {
		c.counter++
		return
	}
	goal := min(over*4/3, cacheMax/2)
	old := make([]*cacheEntry, 0, goal)
	for _, e := range c.entries {
		if now >= e.used+cacheUnused {
			old = append(old, e)
		}
	}
	order := func(e *cacheEntry) int { return (cacheBucket(e.addr) - c.rover - 1 + 2*cacheBuckets) % cacheBuckets }
	slices.SortFunc(old, func(a, b *cacheEntry) int {
		if n := cmp.Compare(order(a), order(b)); n != 0 {
			return n
		}
		return a.addr.Compare(b.addr)
	})
	bucket := -1
	rover := c.rover
	for _, e := range old {
		if b := cacheBucket(e.addr); b != bucket {
			if goal <= 0 {
				break
			}
			bucket, rover = b, b
		}
		c.drop(e.addr)
		goal--
	}
	c.rover = rover
}

// cacheBucket is the hash of an entry (ip_vs_lblc_hashkey).
func cacheBucket(a netip.Addr) int { return int(fold(a) * 2654435761 & (cacheBuckets - 1)) }

func (c *cache) drop(a netip.Addr) {
	for _, d := range c.entries[a].servers {
		d.refs--
	}
	delete(c.entries, a)
}

func (c *cache) done(*Service) {
	for a := range c.entries {
		c.drop(a)
	}
}

func (c *cache) changed(*Service, *Destination, change) {}

// save records how to take back changes to the entry of an address.
func (c *cache) save(j *journal.Journal, a netip.Addr) {
	if !j.On() {
		return
	}
	e, had := c.entries[a]
	var old cacheEntry
	if had {
		old = *e
		old.servers = slices.Clone(e.servers)
		for _, d := range e.servers {
			saveDest(j, d)
		}
	}
	j.Add(func() {
		if !had {
			delete(c.entries, a)
			return
		}
		*e = old
		c.entries[a] = e
	})
}

// insert puts a server in front of an entry's, making the entry.
func (c *cache) insert(j *journal.Journal, now time.Duration, a netip.Addr, d *Destination) {
	saveDest(j, d)
	e := c.entries[a]
	if e == nil {
		e = &cacheEntry{addr: a, used: now}
		c.entries[a] = e
	}
	e.servers = slices.Insert(e.servers, 0, d)
	e.changed = now
	d.refs++
}

// remove takes a member out of an entry.
func (c *cache) remove(now time.Duration, e *cacheEntry, d *Destination) {
	i := slices.Index(e.servers, d)
	e.servers = slices.Delete(e.servers, i, i+1)
	e.changed = now
	d.refs--
}

// overfull reports whether a server has more active connections than weight while another is less than half full
// (is_overloaded).
func overfull(d *Destination, s *Service) bool {
	if d.Active <= d.Weight {
		return false
	}
	for x := s.first(); x != nil; x = s.after(x) {
		if x.Active*2 < x.Weight {
			return true
		}
	}
	return false
}

// lblc keeps a destination address with one server, for caches that should see each address once; it moves when that server
// is overfull (net/netfilter/ipvs/ip_vs_lblc.c).
type lblc struct{ cache }

func newLBLC(s *Service) scheduler { return &lblc{newCache(s, s.table.sysctl.lblc)} }

func (l *lblc) pick(w *netfilter.Walk, s *Service, f *flow) *Destination {
	a := f.dst.Addr()
	l.save(w.Journal, a)
	e := l.entries[a]
	if e != nil {
		e.used = w.Now
		if d := e.servers[0]; d.Available && d.Weight > 0 && !overfull(d, s) {
			return d
		}
	}
	d := leastOverhead(s)
	if d == nil {
		return nil
	}
	if e != nil {
		if e.servers[0] == d {
			return d
		}
		l.drop(a)
	}
	l.insert(w.Journal, w.Now, a, d)
	return d
}
