package ipvs

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

var programs = flag.Int("programs", 0, "random programs for each scheduler; 0 is 300, 40 with -short")

// stream is a source of chance that two worlds read alike.
type stream struct {
	r   *rand.Rand
	got []int
}

func (s *stream) Chance(uint32) bool { panic("no scheduler asks for this") }

func (s *stream) Intn(n int) int {
	s.got = append(s.got, s.r.IntN(n))
	return s.got[len(s.got)-1]
}

// Expectation: the plain world of plain_test.go, written from the description of each scheduler.
func TestSchedulersAgreeWithThePlainOnes(t *testing.T) {
	n := *programs
	if n == 0 {
		n = 300
		if testing.Short() {
			n = 40
		}
	}
	for _, name := range Schedulers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := n
			if name == "mh" && *programs == 0 {
				n = n/10 + 1 // filling tables plainly is slow
			}
			for seed := range uint64(n) {
				if err := runProgram(name, seed); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		})
	}
}

// runProgram makes random changes and connections in both worlds and compares picks, counters and order.
func runProgram(name string, seed uint64) error {
	r := rand.New(rand.NewPCG(seed, 7))
	v6 := r.IntN(4) == 0
	flags := SchedulerFlags(r.IntN(4))
	plain := newPlain(name, flags)
	tab := NewTable(DefaultSysctls())
	key := MarkService(packet.IPv4, 9)
	addr := func(kind, i int) netip.Addr {
		a := netip.AddrFrom4([4]byte{10, byte(kind), byte(i >> 8), byte(i)})
		if v6 {
			b := a.As4()
			return netip.AddrFrom16([16]byte{0xfd, 1: b[2], 5: b[1], 9: byte(kind), 14: b[2], 15: b[3]})
		}
		return a
	}
	if v6 {
		key.Family = packet.IPv6
	}
	if err := tab.AddService(ServiceConfig{Key: key, Scheduler: name, Flags: flags}); err != nil {
		return err
	}
	src := &stream{r: rand.New(rand.NewPCG(seed, 8))}
	draws := rand.New(rand.NewPCG(seed, 8))
	plain.draws = draws.IntN
	w := &netfilter.Walk{Hook: netfilter.Input, In: "eth0", Route: everywhere{}, Source: src}
	type client struct{ src, dst netip.AddrPort }
	clients := map[int]client{}
	now := time.Duration(0)
	send := func(c client, f packet.TCPFlags) Result {
		k := packet.Packet{Src: c.src, Dst: c.dst, Proto: packet.TCP, TCPFlags: f, Mark: 9}
		return tab.Request(w, &k)
	}
	weights := []int{0, 1, 1, 2, 3, 4, 6, 9, 300}
	steps := 20 + r.IntN(60)
	for step := range steps {
		now += time.Millisecond
		tab.Advance(now)
		w.Now = now
		plain.pass(time.Millisecond)
		server := netip.AddrPortFrom(addr(2, 1+r.IntN(6)), 8080)
		weight, upper, lower := weights[r.IntN(len(weights))], 0, 0
		if r.IntN(3) == 0 {
			upper = 1 + r.IntN(6)
			lower = r.IntN(upper + 1)
		}
		cfg := DestinationConfig{Addr: server, Weight: weight, Upper: uint32(upper), Lower: uint32(lower)}
		what := ""
		switch k := r.IntN(20); {
		case k < 4 || step < 3:
			if plain.index(server) >= 0 {
				plain.edit(server, weight, upper, lower)
				if err := tab.EditDestination(key, cfg); err != nil {
					return err
				}
				what = "edit"
				break
			}
			plain.add(server, weight, upper, lower)
			if err := tab.AddDestination(key, cfg); err != nil {
				return err
			}
			what = "add"
		case k < 5 && len(plain.list) > 0:
			a := plain.list[r.IntN(len(plain.list))].addr
			plain.del(a)
			if err := tab.DeleteDestination(key, a); err != nil {
				return err
			}
			what = "delete"
		case k < 8 && len(clients) > 0:
			id := r.IntN(step)
			if c, ok := clients[id]; ok && plain.conns[id] != nil {
				plain.close(id)
				send(c, packet.RST|packet.ACK)
			}
			what = "close"
		case k == 8:
			d := time.Duration(r.IntN(15)) * time.Second
			now += d
			tab.Advance(now)
			w.Now = now
			plain.pass(d)
			what = "sleep"
		default:
			c := client{netip.AddrPortFrom(addr(1, r.IntN(1<<12)), uint16(1000+step)), netip.AddrPortFrom(addr(9, r.IntN(4)), 80)}
			want := plain.pick(c.src, c.dst)
			res := send(c, packet.SYN)
			var got netip.AddrPort
			if res.Verdict == netfilter.Stolen {
				got = res.Conn.Dest.Addr
			} else if res.Verdict != netfilter.Reject {
				return fmt.Errorf("step %d: verdict %v", step, res.Verdict)
			}
			if want == nil && got.IsValid() || want != nil && got != want.addr {
				return fmt.Errorf("step %d: picked %v, want %v of %v", step, got, want, plain)
			}
			if want != nil {
				plain.open(step, want)
				clients[step] = c
				send(c, packet.ACK)
			}
			what = "open"
		}
		if err := sameServers(tab.Service(key), plain.list); err != nil {
			return fmt.Errorf("step %d, after %s: %v", step, what, err)
		}
	}
	return nil
}

func sameServers(s *Service, want []*plainServer) error {
	for i, d := range s.Destinations() {
		if i >= len(want) {
			return fmt.Errorf("server %s is too many", d.Addr)
		}
		p := want[i]
		got := plainServer{d.Addr, d.Weight, d.LastWeight, d.Active, d.Inactive, int(d.Upper), int(d.Lower), d.Overload}
		if got != *p {
			return fmt.Errorf("server %d is %+v, want %+v", i, got, *p)
		}
	}
	if s.Len() != len(want) || slices.Contains(want, nil) {
		return fmt.Errorf("%d servers, want %d", s.Len(), len(want))
	}
	return nil
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }
