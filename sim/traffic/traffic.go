// Package traffic turns groups of connections into flows, one after another in the order of virtual time.
//
// Clients of a group take turns, and each uses its source ports one after another in Linux's default range; groups begin at
// different ports, so that clients with one address meet each other's old connections no sooner than a host would.
// Chance enters in the gaps of Poisson arrivals and in lengths alone, from streams named after the group, so that adding a group
// changes no other. What is not here: what becomes of a flow, and where its packets go; that is the world's.
package traffic

import (
	"iter"
	"math/bits"
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/seed"
	"github.com/svclab/svclab/sim/vtime"
)

// Group is one traffic of a scenario, its clients and destination resolved to addresses.
type Group struct {
	Name        string
	Proto       packet.Protocol
	Clients     []netip.Addr // at least one
	To          netip.AddrPort
	Connections int
	Gap         time.Duration // mean time between two arrivals
	Poisson     bool          // gaps are drawn, else all are equal
	Start       time.Duration

	Burst    int           // arrivals that come at the same moment; 0 or 1 for one at a time. The gap stays the mean
	On, Off  time.Duration // arrivals come for On, pause for Off, and so on; both 0 for no pause
	Ports    int           // source ports of a client, used in turn; 0 for all of Linux's range
	Duration time.Duration // of a connection, or its mean
	Drawn    bool          // durations are drawn from an exponential distribution
}

// Flow is one connection that a client opens.
type Flow struct {
	At       time.Duration
	Group    int   // index into the groups
	ID       int64 // number within the group, from 0
	Number   int64 // number among all flows in the order of time, from 0
	Src, Dst netip.AddrPort
	Duration time.Duration // how long it stays open
}

// The source ports that Linux hands out (net.ipv4.ip_local_port_range).
const firstPort, lastPort = 32768, 60999

// Flows yields the flows of all groups by time, then group, then number.
func Flows(root seed.Root, groups []Group) iter.Seq[Flow] {
	return func(yield func(Flow) bool) {
		var q vtime.Queue[*source]
		for i := range groups {
			s := &source{group: &groups[i], index: i, offset: offset(groups[i].Name)}
			if groups[i].Poisson {
				s.words = root.Stream("arrivals/" + groups[i].Name)
			}
			if groups[i].Drawn {
				s.lengths = root.Stream("lengths/" + groups[i].Name)
			}
			if s.group.Connections > 0 {
				q.Add(vtime.Key{At: s.first(), Flow: int64(i)}, s)
			}
		}
		for n := int64(0); ; n++ {
			k, s, ok := q.Next()
			if !ok {
				return
			}
			if !yield(s.flow(k.At, n)) {
				return
			}
			if s.next++; s.next < int64(s.group.Connections) {
				q.Add(vtime.Key{At: s.after(k.At), Flow: int64(s.index), Sequence: int(s.next)}, s)
			}
		}
	}
}

// source is where one group stands.
type source struct {
	group *Group
	index int
	next  int64
	words *seed.Stream
	// offset is how far into the range the first port lies.
	offset int64

	lengths *seed.Stream
}

// offset is where a group begins in the range of ports, by a hash of its name (FNV-1a).
func offset(name string) int64 {
	h := uint32(2166136261)
	for i := range len(name) {
		h = (h ^ uint32(name[i])) * 16777619
	}
	return int64(h % (lastPort - firstPort + 1))
}

func (s *source) first() time.Duration { return s.group.Start }

func (s *source) flow(at time.Duration, number int64) Flow {
	clients := int64(len(s.group.Clients))
	ports := int64(s.group.Ports)
	if ports == 0 {
		ports = lastPort - firstPort + 1
	}
	port := firstPort + (s.offset+s.next/clients%ports)%(lastPort-firstPort+1)
	length := s.group.Duration
	if s.lengths != nil {
		length = scaled(length, s.lengths)
	}
	return Flow{
		At: at, Group: s.index, ID: s.next, Number: number, Duration: length,
		Src: netip.AddrPortFrom(s.group.Clients[s.next%clients], uint16(port)), Dst: s.group.To,
	}
}

// after is when the arrival comes that follows one.
func (s *source) after(at time.Duration) time.Duration {
	g := s.group
	gap := g.Gap
	switch {
	case s.words != nil:
		gap = scaled(gap, s.words)
	case g.Burst > 1 && s.next%int64(g.Burst) != 0:
		return at
	case g.Burst > 1:
		gap *= time.Duration(g.Burst)
	}
	at += gap
	if g.Off > 0 { // pauses take no arrival away, they put it off
		if in := (at - g.Start) % (g.On + g.Off); in >= g.On {
			at += g.On + g.Off - in
		}
	}
	return at
}

// scaled draws an exponentially distributed time of this mean.
func scaled(mean time.Duration, words *seed.Stream) time.Duration {
	hi, lo := bits.Mul64(uint64(mean), exponential(words.Uint64()))
	return time.Duration(hi<<32 | lo>>32)
}

// exponential turns a uniform word into an exponentially distributed number of mean 1, in units of 2^-32: −ln of the word
// as a part of 2^64. It is done in integers, since the logarithm of floating point differs between processors.
func exponential(word uint64) uint64 {
	word |= 1
	zeros := bits.LeadingZeros64(word)
	m := word << zeros // in [2^63, 2^64): the mantissa of the word, 1 to 2
	var log uint64     // log2 of the mantissa in units of 2^-32, bit by bit: squaring doubles the logarithm
	for range 32 {
		hi, _ := bits.Mul64(m, m) // in [2^62, 2^64)
		log <<= 1
		if hi>>63 == 1 {
			log |= 1
			m = hi
		} else {
			m = hi << 1
		}
	}
	const ln2 = 2977044472 // ln 2 in units of 2^-32
	hi, lo := bits.Mul64(uint64(zeros+1)<<32-log, ln2)
	return hi<<32 | lo>>32
}
