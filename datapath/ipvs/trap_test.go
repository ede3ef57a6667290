package ipvs

import (
	"testing"
	"time"

	"net/netip"

	"github.com/svclab/svclab/datapath/packet"
)

// What a naive model of IPVS gets wrong, one test each. Expectations: recordings of Linux 6.1.176 where one exists
// (sim/record/testdata), else the kernel's source and arithmetic.

func TestServersAreTakenNewestFirst(t *testing.T) {
	l := tcpLab(t, "rr")
	l.add(1, 1)
	l.add(2, 1)
	l.add(3, 1)
	l.want("picks", l.picks(6), "321321")
}

func TestTheFirstRoundOfWRRIsNotAFullOne(t *testing.T) {
	l := tcpLab(t, "wrr")
	l.add(1, 3)
	l.add(2, 2)
	l.add(3, 1)
	// cw stayed at 1 from the first add: every server once, and only then rounds of 3, 2, 1.
	l.want("picks", l.picks(9), "321121321")
	l.picks(1) // 1: the position moves on
	l.edit(2, 2)
	// The edit resets the position and keeps cw at 3.
	l.want("picks after an edit", l.picks(3), "121")
}

func TestRRKeepsItsCursorOverChanges(t *testing.T) {
	l := tcpLab(t, "rr")
	for i := 1; i <= 4; i++ {
		l.add(i, 1)
	}
	l.want("picks", l.picks(2), "43")
	l.add(5, 1) // at the head: after this round
	l.want("after an add", l.picks(4), "2154")
	l.del(4) // the cursor steps back to 5
	l.want("after its server went", l.picks(3), "321")
	l.del(3)
	l.want("after another went", l.picks(3), "521")
}

func TestAServerThatComesBackHasItsCounters(t *testing.T) {
	l := tcpLab(t, "rr")
	l.add(1, 1)
	l.add(2, 1)
	l.picks(4)
	l.del(1)
	l.add(1, 1)
	l.want("counters", l.counters(1), [3]int{2, 0, 0})
	l.want("first in the list", number(l.tab.Service(l.key).Destinations()[0].Addr), 1)
}

func TestTheTrashIsEmptiedAfterTwoToFourMinutes(t *testing.T) {
	l := tcpLab(t, "rr")
	l.add(1, 1)
	l.pass(time.Second)
	l.del(1)
	for range 118 {
		l.pass(time.Second)
	}
	l.want("kept for two minutes", len(l.tab.Trash()), 1)
	l.pass(122 * time.Second)
	l.want("gone after four", len(l.tab.Trash()), 0)
	l.want("timer", l.tab.trash == nil || len(l.tab.trash) == 0, true)
}

func TestTiesGoToTheNewest(t *testing.T) {
	for _, c := range []struct{ scheduler, want string }{{"wlc", "3"}, {"nq", "3"}, {"lc", "3"}, {"sed", "1"}} {
		l := tcpLab(t, c.scheduler)
		l.add(1, 9)
		l.add(2, 2)
		l.add(3, 1)
		l.want(c.scheduler, l.picks(1), c.want)
	}
}

func TestClosedConnectionsCountForLCAndNotForSED(t *testing.T) {
	for _, c := range []struct {
		scheduler string
		want      int
	}{{"lc", 1}, {"wlc", 1}, {"sed", 2}, {"nq", 2}} {
		l := tcpLab(t, c.scheduler)
		l.add(1, 1)
		l.add(2, 1)
		f, s := l.open(1)
		l.want(c.scheduler+" first", s, 2)
		l.rst(f)
		_, s = l.open(2)
		l.want(c.scheduler+" while 2 has a closed one", s, c.want)
	}
}

func TestABareSYNIsActive(t *testing.T) {
	l := tcpLab(t, "lc")
	l.add(1, 1)
	f := &labFlow{src: l.client(1), dst: l.virtual()}
	l.send(f, packet.SYN, 0)
	l.want("counters", l.counters(1), [3]int{1, 0, 0})
	l.pass(59 * time.Second)
	l.want("after 59 s", l.counters(1), [3]int{1, 0, 0})
	l.pass(time.Second)
	l.want("after 60 s", l.counters(1), [3]int{0, 0, 0})
}

func TestOVFAllowsOneMoreThanTheWeight(t *testing.T) {
	l := tcpLab(t, "ovf")
	l.add(1, 2)
	l.add(2, 1)
	l.want("picks", l.picks(6), "111220")
}

func TestSHKeepsBucketsOfWeightZeroAndMHKeepsLastWeights(t *testing.T) {
	for _, c := range []struct {
		scheduler string
		refused   bool // clients of the server of weight 0
	}{{"sh", true}, {"mh", true}} {
		l := tcpLab(t, c.scheduler)
		for i := 1; i <= 3; i++ {
			l.add(i, 1)
		}
		before := map[int]int{}
		for i := range 100 {
			_, before[i] = l.open(i)
		}
		l.edit(2, 0)
		for i := range 100 {
			_, now := l.open(i)
			want := before[i]
			if want == 2 {
				want = 0
			}
			if now != want {
				t.Errorf("%s: client %d went to %d and now to %d", c.scheduler, i, before[i], now)
			}
		}
	}
	// Weights of sh are not divided by their divisor: 300 and 1 leave the second one out; mh's are.
	a := tcpLab(t, "sh")
	a.add(1, 1)
	a.add(2, 300)
	b := tcpLab(t, "mh")
	b.add(1, 64)
	b.add(2, 128)
	a.picks(1)
	b.picks(1)
	seen := map[int]int{}
	for _, d := range a.tab.Service(a.key).sched.(*sh).buckets {
		seen[number(d.Addr)]++
	}
	a.want("buckets of 2", seen[2], 256)
	seen = map[int]int{}
	for _, d := range b.tab.Service(b.key).sched.(*mh).lookup {
		seen[number(d.Addr)]++
	}
	b.want("entries of 1", seen[1], 1364) // 4093 entries, taken 2 and 1 at a time from server 2 on
}

func TestSHHashesToTheTopBits(t *testing.T) {
	l := tcpLab(t, "sh")
	h := l.tab.Service(l.key).sched.(*sh)
	s := l.tab.Service(l.key)
	for _, c := range vectors {
		s.Flags = 0
		l.want(c.client+" sh", h.bucket(s, &flow{client: netip.MustParseAddrPort(c.client + ":20001")}), c.bucket)
		s.Flags = SHPort
		l.want(c.client+" sh with port", h.bucket(s, &flow{client: netip.MustParseAddrPort(c.client + ":20001")}), c.bucketPort)
	}
}

func TestSHFallbackBeginsAtTwiceTheBucket(t *testing.T) {
	l := tcpLab(t, "sh", func(c *ServiceConfig) { c.Flags = SHFallback })
	for i := 1; i <= 5; i++ {
		l.add(i, 1)
	}
	// 10.1.0.1 has bucket 174, which is server 1's as the list 5 4 3 2 1 fills it: 174 mod 5 = 4. Retries begin at bucket
	// 348 mod 256 = 92, server 3's (92 mod 5 = 2).
	src := netip.MustParseAddrPort("10.1.0.1:1000")
	l.want("bucket's server", l.start(&labFlow{src: src, dst: l.virtual()}), 1)
	l.edit(1, 0)
	l.want("fallback", l.start(&labFlow{src: withPort(src, 1001), dst: l.virtual()}), 3)
}

func TestMHDependsOnAddressAndPortOfServers(t *testing.T) {
	for i, want := range [][2]uint32{{2030, 1574}, {4017, 991}, {2443, 2359}} {
		o, s := mhPreference(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 2, 0, byte(i + 1)}), 8080))
		if o != want[0] || s != want[1] {
			t.Errorf("10.2.0.%d:8080: offset %d skip %d, want %v", i+1, o, s, want)
		}
	}
	a, _ := mhPreference(netip.MustParseAddrPort("10.2.0.1:8080"))
	b, _ := mhPreference(netip.MustParseAddrPort("10.2.0.1:8081"))
	if a == b {
		t.Error("the port makes no difference")
	}
}

func TestDHAndLBLCSendOneAddressToOneServer(t *testing.T) {
	for _, c := range []struct{ scheduler, want string }{{"dh", "1111111111"}, {"lblc", "3333333333"}} {
		l := tcpLab(t, c.scheduler)
		l.add(1, 20)
		l.add(2, 20)
		l.add(3, 20)
		got := l.picks(10)
		for i := range got {
			if got[i] != got[0] {
				t.Errorf("%s: picks %s differ", c.scheduler, got)
				break
			}
		}
	}
}

func TestLBLCUsesAnOverloadedServerAndMovesForAnIdleOne(t *testing.T) {
	l := tcpLab(t, "lblc")
	l.add(1, 1)
	l.add(2, 1, 1)
	l.want("picks", l.picks(2), "22") // overloaded at once, and used: not overfull while 1 is not more active than its weight
	l.want("overload", l.tab.Service(l.key).find(l.server(2)).Overload, true)
	l.want("more active than its weight, another idle", l.picks(1), "1")
}
