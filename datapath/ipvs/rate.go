package ipvs

import "time"

// estimatorInterval is how often the kernel looks at counters to estimate rates (net/netfilter/ipvs/ip_vs_est.c).
const estimatorInterval = 2 * time.Second

// estimator keeps the rates that ipvsadm --rate shows: a moving average in which each look counts for a quarter. It is
// brought up to date when a counter changes or somebody asks, which gives what looking every two seconds would have given.
type estimator struct {
	look int64     // number of looks so far
	last [5]uint64 // counters at the last look: connections, packets in and out, bytes in and out
	avg  [5]int64  // connections and packets per second by 2^10, bytes by 2^5
}

// Rates are per second.
type Rates struct {
	Conns, InPackets, OutPackets, InBytes, OutBytes uint64
}

func (s *Stats) counters() [5]uint64 {
	return [5]uint64{s.Conns, s.InPackets, s.OutPackets, s.InBytes, s.OutBytes}
}

// settle runs the looks that were due before now.
func (s *Stats) settle(now time.Duration) {
	e := &s.est
	due := int64(now / estimatorInterval)
	if due == e.look {
		return
	}
	c := s.counters()
	const fades = 200 // after as many looks without traffic nothing is left of any average
	for n := 0; e.look < due && n < fades; n++ {
		e.look++
		for i := range c {
			shift := 9
			if i >= 3 {
				shift = 4
			}
			rate := int64(c[i]-e.last[i]) << shift
			e.avg[i] += (rate - e.avg[i]) >> 2
		}
		e.last = c
	}
	e.look = due
}

// rates reads the estimate (ip_vs_read_estimator).
func (s *Stats) rates(now time.Duration) Rates {
	c := *s
	c.settle(now)
	r := func(i int) uint64 { return uint64(c.est.avg[i]+0x1ff) >> 10 }
	b := func(i int) uint64 { return uint64(c.est.avg[i]+0xf) >> 5 }
	return Rates{r(0), r(1), r(2), b(3), b(4)}
}
