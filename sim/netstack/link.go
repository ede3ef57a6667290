package netstack

import (
	"encoding/binary"
	"time"

	"github.com/svclab/svclab/sim/seed"
)

// Link is what lies between a host and its node, or between a machine outside and the network: one wire, the same in both
// directions, which share nothing but these figures. The zero value is a wire that takes no time and loses nothing, with the
// MTU of Ethernet.
type Link struct {
	Delay         time.Duration // of propagation, each way
	Jitter        time.Duration // added to Delay, drawn evenly from 0 up to this; packets keep their order
	Loss          float64       // share of packets that vanish, 0 to 1, each drawn for itself
	BitsPerSecond int64         // serialisation, IP bytes alone; 0: takes no time
	QueueBytes    int           // what waits for serialisation at most, later packets are dropped; 0: 1 MiB
	MTU           int           // largest IP packet in bytes; 0: 1500
}

const (
	defaultMTU   = 1500
	defaultQueue = 1 << 20
)

func (l Link) mtu() int {
	if l.MTU > 0 {
		return l.MTU
	}
	return defaultMTU
}

// plain says that packets pass the link at once and all of them.
func (l Link) plain() bool {
	return l.Delay == 0 && l.Jitter == 0 && l.Loss == 0 && l.BitsPerSecond == 0
}

// pipe is one direction of a link. Its chance is its own named stream, one draw a packet for each figure that is set.
type pipe struct {
	*Link
	plain  bool
	chance *seed.Stream
	free   time.Duration // when the wire is free again
	last   time.Duration // when the last packet arrives: later ones do not overtake it
}

func newPipe(l *Link, s *seed.Stream) pipe { return pipe{Link: l, plain: l.plain(), chance: s} }

// fraction takes 8 bytes of the stream as a number from 0 up to 1.
func fraction(s *seed.Stream) float64 {
	var b [8]byte
	_, _ = s.Read(b[:])
	return float64(binary.LittleEndian.Uint64(b[:])>>11) / (1 << 53)
}

// pass is when a packet of some bytes that is sent now arrives; ok is false if it does not.
func (p *pipe) pass(now time.Duration, bytes int, st *Stats) (at time.Duration, ok bool) {
	if p.plain {
		return now, true
	}
	if p.Loss > 0 && fraction(p.chance) < p.Loss {
		st.LostOnLink++
		return 0, false
	}
	at = now
	if p.BitsPerSecond > 0 {
		queue := p.QueueBytes
		if queue == 0 {
			queue = defaultQueue
		}
		start := max(now, p.free)
		if start-now > time.Duration(int64(queue)*8*int64(time.Second)/p.BitsPerSecond) {
			st.LinkQueueFull++
			return 0, false
		}
		p.free = start + time.Duration(int64(bytes)*8*int64(time.Second)/p.BitsPerSecond)
		at = p.free
	}
	at += p.Delay
	if p.Jitter > 0 {
		at += time.Duration(fraction(p.chance) * float64(p.Jitter))
	}
	at = max(at, p.last)
	p.last = at
	return at, true
}
