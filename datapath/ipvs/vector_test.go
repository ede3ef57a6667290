package ipvs

import (
	"net/netip"
	"testing"
)

// vectors are computed outside this package, with a model that agrees with every recorded pick of sh, dh and mh of
// Linux 6.1.176. The port is 20001.
var vectors = []struct {
	client             string
	bucket, bucketPort int
	hash               uint32
	entry, entryPort   uint32
}{
	{"10.1.0.1", 174, 97, 939321412, 2470, 3260},
	{"172.16.82.13", 74, 254, 2241551089, 3267, 2724},
	{"192.168.244.240", 42, 222, 112667268, 3350, 4030},
}

func TestMHHashVectors(t *testing.T) {
	l := tcpLab(t, "mh")
	s := l.tab.Service(l.key)
	h := s.sched.(*mh)
	for _, c := range vectors {
		f := &flow{client: netip.MustParseAddrPort(c.client + ":20001")}
		l.want(c.client+" hash", sipHash13(mhKey1, fold(f.client.Addr())), c.hash)
		s.Flags = 0
		l.want(c.client+" entry", h.entry(s, f, 0), c.entry)
		s.Flags = MHPort
		l.want(c.client+" entry with port", h.entry(s, f, 0), c.entryPort)
	}
}

func TestMHTableVector(t *testing.T) {
	l := tcpLab(t, "mh")
	l.add(1, 2)
	l.add(2, 1)
	l.add(3, 1)
	l.picks(1)
	h := l.tab.Service(l.key).sched.(*mh)
	totals := map[int]int{}
	head := ""
	for i, d := range h.lookup {
		totals[number(d.Addr)]++
		if i < 10 {
			head += string(rune('0' + number(d.Addr)))
		}
	}
	l.want("entries 0..9", head, "3213111211")
	l.want("totals", [3]int{totals[1], totals[2], totals[3]}, [3]int{2046, 1023, 1024})
}
