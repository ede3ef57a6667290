package iptables

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

// The limits of xt_recent's lists: module parameters ip_list_tot and ip_pkt_list_tot.
const (
	recentAddresses = 100
	defaultStamps   = 32
)

// RecentStore holds the lists of -m recent. A node has one for both families: a list is known by its name alone, and lives as
// long as a rule names it (net/netfilter/xt_recent.c, struct recent_net).
type RecentStore struct{ lists map[string]*recentList }

// NewRecentStore returns a store without lists.
func NewRecentStore() *RecentStore { return &RecentStore{lists: map[string]*recentList{}} }

// RecentEntry is one address of a list.
type RecentEntry struct {
	Addr   netip.Addr
	TTL    uint8           // of the packet that was stamped last
	Last   time.Duration   // age of zero at this virtual time: the newest stamp
	Stamps []time.Duration // all stamps kept, in ring order
}

// Lists returns the names of the lists, sorted.
func (s *RecentStore) Lists() []string { return slices.Sorted(maps.Keys(s.lists)) }

// Entries returns a list, the address updated longest ago first; nil when there is no such list.
func (s *RecentStore) Entries(name string, hz int) []RecentEntry {
	l := s.lists[name]
	if l == nil {
		return nil
	}
	at := func(j int64) time.Duration { return time.Duration(j) * time.Second / time.Duration(hz) }
	var out []RecentEntry
	for e := l.first; e != nil; e = e.next {
		r := RecentEntry{Addr: e.addr, TTL: e.ttl, Last: at(e.newest())}
		for _, j := range e.stamps {
			r.Stamps = append(r.Stamps, at(j))
		}
		out = append(out, r)
	}
	return out
}

// acquire makes or finds the list of a rule and takes a reference to it (recent_mt_check).
func (s *RecentStore) acquire(m *Recent) *recentList {
	held := m.stampsHeld()
	l := s.lists[m.List]
	if l == nil {
		l = &recentList{name: m.List, mask: m.Mask, held: held, byAddr: map[netip.Addr]*recentEntry{}}
		s.lists[m.List] = l
	} else if held > l.held {
		l.flush()
		l.held = held
	}
	l.refs++
	return l
}

func (s *RecentStore) release(l *recentList) {
	if l.refs--; l.refs == 0 && s.lists[l.name] == l {
		delete(s.lists, l.name)
	}
}

// recentList is one list, its addresses in the order of their last update (struct recent_table).
type recentList struct {
	name        string
	refs        int
	mask        netip.Addr
	held        uint32 // stamps kept per address
	byAddr      map[netip.Addr]*recentEntry
	first, last *recentEntry
	free        *recentEntry
}

type recentEntry struct {
	addr       netip.Addr
	ttl        uint8
	index      uint32 // where the next stamp goes, before wrapping
	stamps     []int64
	prev, next *recentEntry
}

func (e *recentEntry) newest() int64 { return e.stamps[e.index-1] }

// jiffies is virtual time in timer ticks.
func jiffies(now time.Duration, hz uint64) int64 {
	return int64(now/time.Second*time.Duration(hz) + now%time.Second*time.Duration(hz)/time.Second)
}

func (l *recentList) lookup(a netip.Addr, ttl uint8) *recentEntry {
	e := l.byAddr[a]
	if e == nil || ttl != 0 && e.ttl != 0 && e.ttl != ttl {
		return nil
	}
	return e
}

func (l *recentList) insert(a netip.Addr, ttl uint8, now int64) {
	if old := l.byAddr[a]; old != nil { // listed with another TTL
		l.remove(old)
	}
	if len(l.byAddr) >= recentAddresses {
		l.remove(l.first)
	}
	e := l.free
	if e != nil {
		l.free = nil
		*e = recentEntry{stamps: e.stamps[:0]}
	} else {
		e = new(recentEntry)
	}
	e.addr, e.ttl, e.index = a, ttl, 1
	e.stamps = append(e.stamps, now)
	l.byAddr[a] = e
	l.pushBack(e)
}

func (l *recentList) remove(e *recentEntry) {
	delete(l.byAddr, e.addr)
	l.unlink(e)
	l.free = e
}

// stamp adds a stamp to the ring and makes the address the latest (recent_entry_update).
func (l *recentList) stamp(e *recentEntry, ttl uint8, now int64) {
	e.index &= l.held - 1
	if int(e.index) < len(e.stamps) {
		e.stamps[e.index] = now
	} else {
		e.stamps = append(e.stamps, now)
	}
	e.index++
	e.ttl = ttl
	l.unlink(e)
	l.pushBack(e)
}

// reap removes the address updated longest ago, and only that, when its newest stamp is stale.
func (l *recentList) reap(oldest int64) {
	if l.first != nil && oldest > l.first.newest() {
		l.remove(l.first)
	}
}

func (l *recentList) flush() {
	clear(l.byAddr)
	l.first, l.last = nil, nil
}

func (l *recentList) pushBack(e *recentEntry) {
	e.prev, e.next = l.last, nil
	if l.last != nil {
		l.last.next = e
	} else {
		l.first = e
	}
	l.last = e
}

func (l *recentList) unlink(e *recentEntry) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		l.first = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		l.last = e.prev
	}
	e.prev, e.next = nil, nil
}

// snapshot returns what puts the list back as it is now.
func (l *recentList) snapshot() func() {
	saved := make([]recentEntry, 0, len(l.byAddr))
	for e := l.first; e != nil; e = e.next {
		c := *e
		c.stamps = slices.Clone(e.stamps)
		saved = append(saved, c)
	}
	return func() {
		l.flush()
		for i := range saved {
			e := saved[i]
			l.byAddr[e.addr] = &e
			l.pushBack(&e)
		}
	}
}
