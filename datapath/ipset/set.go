package ipset

import (
	"net/netip"
	"slices"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// Entry is what a set holds. It is comparable; parts that the set's type does not have are zero.
type Entry struct {
	A, B    netip.Prefix // addresses are prefixes of full length
	Proto   packet.Protocol
	Port    uint16 // of ICMP: type<<8 | code
	Iface   string
	Physdev bool
	Mark    uint32
	MAC     packet.MAC
	Member  string // of a list: the set
}

// element is an entry with its extensions.
type element struct {
	Entry
	nomatch bool
	expires time.Duration // virtual time; 0: never
	given   time.Duration // the timeout as set
	extra   []string      // packets, bytes, skb… as given, in pairs
	comment string
	hasNote bool
}

// Set is one named set.
type Set struct {
	Name   string
	Type   Type
	Family packet.Family // 0 for bitmaps, lists and hash:mac
	header []headerOption
	max    int           // entries; 0: no limit
	mask   int           // netmask option; -1: none
	lo, hi uint64        // bitmap range: ports or addresses
	expiry time.Duration // default timeout
	timed  bool          // entries have timeouts

	entries []*element // in the order added, nil where deleted
	index   map[Entry]int
	live    int
	lensA   map[int]int // how many entries have each prefix length
	lensB   map[int]int
}

type headerOption struct{ name, value string }

// Len is the number of entries, stale ones included until they are looked at.
func (s *Set) Len() int { return s.live }

// Entries returns the entries in the order they were added.
func (s *Set) Entries() []Entry {
	out := make([]Entry, 0, s.live)
	for _, e := range s.entries {
		if e != nil {
			out = append(out, e.Entry)
		}
	}
	return out
}

func (s *Set) get(e Entry, now time.Duration) *element {
	i, ok := s.index[e]
	if !ok {
		return nil
	}
	if x := s.entries[i]; x.expires == 0 || x.expires > now {
		return x
	}
	return nil
}

func (s *Set) put(x *element, now time.Duration) {
	if i, ok := s.index[x.Entry]; ok {
		s.entries[i] = x
		return
	}
	s.index[x.Entry] = len(s.entries)
	s.entries = append(s.entries, x)
	s.live++
	s.lensA[x.A.Bits()]++
	s.lensB[x.B.Bits()]++
}

func (s *Set) remove(e Entry) {
	i, ok := s.index[e]
	if !ok {
		return
	}
	delete(s.index, e)
	s.entries[i] = nil
	s.live--
	drop(s.lensA, e.A.Bits())
	drop(s.lensB, e.B.Bits())
	if len(s.entries) > 64 && s.live < len(s.entries)/2 {
		s.entries = slices.DeleteFunc(s.entries, func(x *element) bool { return x == nil })
		for i, x := range s.entries {
			s.index[x.Entry] = i
		}
	}
}

func drop(m map[int]int, n int) {
	if m[n]--; m[n] == 0 {
		delete(m, n)
	}
}

// expire drops entries whose time is over.
func (s *Set) expire(now time.Duration) {
	if !s.timed {
		return
	}
	for _, x := range slices.Clone(s.entries) {
		if x != nil && x.expires != 0 && x.expires <= now {
			s.remove(x.Entry)
		}
	}
}

func (s *Set) flush() {
	s.entries, s.live = nil, 0
	s.index, s.lensA, s.lensB = map[Entry]int{}, map[int]int{}, map[int]int{}
}
