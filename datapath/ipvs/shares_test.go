package ipvs

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath/journal"
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

func periodText(p Period) string {
	s := ""
	for _, x := range p.Shares {
		s += fmt.Sprintf("%d:%d ", number(x.Server), x.Picks)
	}
	return fmt.Sprintf("%sof %d, %d refused", s, p.Picks, p.Refused)
}

// Expectation: arithmetic on the weights; buckets of sh dealt by hand to the ring 3 2 1.
func TestPeriods(t *testing.T) {
	for _, c := range []struct {
		scheduler string
		weights   [3]int
		want      string
	}{
		{"rr", [3]int{5, 0, 1}, "3:1 2:0 1:1 of 2, 0 refused"},
		{"wrr", [3]int{6, 4, 2}, "3:1 2:2 1:3 of 6, 0 refused"},
		{"lc", [3]int{6, 4, 2}, "3:1 2:1 1:1 of 3, 0 refused"},
		{"wlc", [3]int{6, 4, 2}, "3:1 2:2 1:3 of 6, 0 refused"},
		{"sed", [3]int{6, 4, 2}, "3:1 2:2 1:3 of 6, 0 refused"},
		{"fo", [3]int{6, 7, 2}, "3:0 2:1 1:0 of 1, 0 refused"},
		{"ovf", [3]int{1, 2, 0}, "3:0 2:3 1:2 of 5, 0 refused"},
		{"sh", [3]int{1, 1, 0}, "3:0 2:85 1:85 of 256, 86 refused"},
		{"sh", [3]int{1, 2, 1}, "3:64 2:128 1:64 of 256, 0 refused"},
		{"dh", [3]int{1, 9, 9}, "3:86 2:85 1:85 of 256, 0 refused"},
		{"mh", [3]int{2, 1, 1}, "3:1024 2:1023 1:2046 of 4093, 0 refused"},
	} {
		l := tcpLab(t, c.scheduler)
		for i, w := range c.weights {
			l.add(i+1, w)
		}
		p, ok := l.tab.Period(l.key)
		if got := periodText(p); !ok || got != c.want {
			t.Errorf("%s %v: %s, want %s", c.scheduler, c.weights, got, c.want)
		}
	}
}

// A round of wrr, walked: from a fresh position at the highest weight each server is taken as often as its share says.
func TestARoundOfWRRIsItsPeriod(t *testing.T) {
	l := tcpLab(t, "wrr")
	for i, w := range []int{6, 4, 2, 9, 12} {
		l.add(i+1, w)
	}
	p, _ := l.tab.Period(l.key)
	l.picks(int(p.Picks)) // past the first, partial round
	got := map[int]uint64{}
	for _, d := range l.picks(int(3 * p.Picks)) {
		got[int(d-'0')]++
	}
	for _, s := range p.Shares {
		l.want(s.Server.String(), got[number(s.Server)], 3*s.Picks)
	}
}

func TestNextTellsAndChangesNothing(t *testing.T) {
	for _, name := range Schedulers() {
		if name == "twos" {
			continue
		}
		l := tcpLab(t, name)
		for i := 1; i <= 4; i++ {
			l.add(i, i)
		}
		for i := range 40 {
			c := l.client(i)
			first, ok := l.tab.Next(l.w, l.key, c, l.virtual())
			again, _ := l.tab.Next(l.w, l.key, c, l.virtual())
			if !ok || !reflect.DeepEqual(first, again) {
				t.Fatalf("%s: %+v, then %+v", name, first, again)
			}
			f := &labFlow{src: c, dst: l.virtual()}
			l.w.Trace = &netfilter.Trace{}
			l.start(f)
			if number(first.Server) != number(f.server) {
				t.Fatalf("%s: told %s, got %s", name, first.Server, f.server)
			}
			p := l.w.Trace.Steps[0].Ref.(*Pick)
			if p.Server != first.Server || p.Reason == "" || !reflect.DeepEqual(p.Before, first.Before) {
				t.Fatalf("%s: traced %+v, told %+v", name, p, first)
			}
			l.w.Trace = nil
		}
	}
}

// snapshot is everything of a table that can be seen.
func snapshot(t *Table) string {
	s := t.List(ListConns) + t.List(ListServers) + t.List(ListStats) + t.List(ListThresholds) + t.List(ListPersistence)
	for _, v := range t.list {
		f := &flow{client: netip.MustParseAddrPort("10.1.0.1:1"), dst: v.Key.Addr}
		s += fmt.Sprintf("%+v\n", v.sched.state(v, f))
		for d := v.first(); d != nil; d = v.after(d) {
			s += fmt.Sprint(d.Addr, d.Overload, d.refs, d.LastWeight, "\n")
		}
	}
	for _, c := range t.Conns() {
		s += fmt.Sprint(c.ID, c.connState.Expires, c.connState.Timeout, c.controls, c.Packets, c.NoOutput, "\n")
	}
	return s
}

// Whatever packets do to a table is taken back by the journal, for every scheduler, with and without persistence.
func TestAWalkIsTakenBack(t *testing.T) {
	matrix(t, func(t *testing.T, proto packet.Protocol, v6 bool) {
		for _, name := range Schedulers() {
			for _, p := range []time.Duration{0, time.Minute} {
				l := newLab(t, proto, v6, name, persist(p))
				l.w.Source = &stream{r: newRand(3)}
				l.check(l.tab.SetSysctl("expire_quiescent_template", "1"))
				for i := 1; i <= 4; i++ {
					l.add(i, i, uint32(6+i))
				}
				var flows []*labFlow
				for i := range 12 {
					f, _ := l.open(i % 5)
					flows = append(flows, f)
				}
				l.edit(3, 0, 7)
				before := snapshot(l.tab)
				var j journal.Journal
				l.w.Journal = &j
				for i := range 12 {
					l.open(i)
					if flows[i].server.IsValid() {
						l.rst(flows[i])
						l.start(flows[i])
					}
				}
				if snapshot(l.tab) == before {
					t.Fatalf("%s: nothing happened", name)
				}
				j.Rollback()
				l.w.Journal = nil
				compareText(t, name, snapshot(l.tab), before)
				l.pass(time.Hour)
				for i := 1; i <= 4; i++ {
					l.want(fmt.Sprintf("%s: counters of %d in the end", name, i), l.counters(i), [3]int{})
				}
			}
		}
	})
}
