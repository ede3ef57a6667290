package ipvs

import (
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"time"
)

// The plain world: servers in a slice, newest first; counters kept by hand; every scheduler written a second time, as plainly
// as possible and from the description of what it does, without regard to cost.

type plainServer struct {
	addr         netip.AddrPort
	w, lw        int
	act, inact   int
	upper, lower int
	over         bool
}

func (s *plainServer) usable() bool { return s.w > 0 && !s.over }
func (s *plainServer) load() int64  { return int64(256*s.act + s.inact) }

func (s *plainServer) bound() {
	if s.upper > 0 && s.act+s.inact >= s.upper {
		s.over = true
	}
}

func (s *plainServer) unbound() {
	n := s.act + s.inact
	if s.lower > 0 {
		s.over = s.over && n >= s.lower
	} else if s.upper > 0 {
		s.over = s.over && 4*n >= 3*s.upper
	} else {
		s.over = false
	}
}

type plainConn struct {
	server  *plainServer
	closed  bool
	expires time.Duration
}

type plainWorld struct {
	name  string
	flags SchedulerFlags
	list  []*plainServer
	trash []*plainServer // removed last, last
	conns map[int]*plainConn
	now   time.Duration

	cursor int // rr, wrr: index of the server picked last, -1 for none
	cw     int
	cache  map[netip.Addr][]*plainServer
	maglev []*plainServer // mh: filled table, nil after a change
	draws  func(n int) int
}

func newPlain(name string, flags SchedulerFlags) *plainWorld {
	return &plainWorld{name: name, flags: flags, cursor: -1, conns: map[int]*plainConn{}, cache: map[netip.Addr][]*plainServer{}}
}

func (p *plainWorld) index(a netip.AddrPort) int {
	return slices.IndexFunc(p.list, func(s *plainServer) bool { return s.addr == a })
}

func (p *plainWorld) set(s *plainServer, w, upper, lower int) {
	if w != 0 {
		s.lw = w
	}
	if upper == 0 || upper > s.upper {
		s.over = false
	}
	s.w, s.upper, s.lower = w, upper, lower
}

func (p *plainWorld) add(a netip.AddrPort, w, upper, lower int) {
	s := &plainServer{addr: a}
	for i := len(p.trash) - 1; i >= 0; i-- {
		if p.trash[i].addr == a {
			s = p.trash[i]
			p.trash = slices.Delete(p.trash, i, i+1)
			break
		}
	}
	p.set(s, w, upper, lower)
	s.lw = w
	p.list = append([]*plainServer{s}, p.list...)
	if p.cursor >= 0 {
		p.cursor++
	}
	p.wrrChanged()
}

func (p *plainWorld) edit(a netip.AddrPort, w, upper, lower int) {
	p.set(p.list[p.index(a)], w, upper, lower)
	p.wrrChanged()
}

func (p *plainWorld) del(a netip.AddrPort) {
	i := p.index(a)
	p.trash = append(p.trash, p.list[i])
	p.list = slices.Delete(p.list, i, i+1)
	if i <= p.cursor {
		p.cursor--
	}
	p.wrrChanged()
}

func (p *plainWorld) open(id int, s *plainServer) {
	s.inact++
	s.bound()
	s.inact--
	s.act++
	p.conns[id] = &plainConn{server: s, expires: p.now + 900*time.Second}
}

func (p *plainWorld) close(id int) {
	if c := p.conns[id]; c != nil && slices.Contains(p.list, c.server) {
		if !c.closed {
			c.server.act--
			c.server.inact++
		}
		c.closed, c.expires = true, p.now+10*time.Second
	}
}

func (p *plainWorld) pass(d time.Duration) {
	p.now += d
	for id, c := range p.conns {
		if c.expires <= p.now {
			if c.closed {
				c.server.inact--
			} else {
				c.server.act--
			}
			c.server.unbound()
			delete(p.conns, id)
		}
	}
}

// best returns the first server, in the order given, that nobody beats; less compares and may be partial.
func best(list []*plainServer, ok func(*plainServer) bool, key func(*plainServer) *big.Rat) *plainServer {
	var winner *plainServer
	for _, s := range list {
		if ok(s) && (winner == nil || key(s).Cmp(key(winner)) < 0) {
			winner = s
		}
	}
	return winner
}

func (p *plainWorld) leastWeighted() *plainServer {
	return best(p.list, (*plainServer).usable, func(s *plainServer) *big.Rat { return big.NewRat(s.load(), int64(s.w)) })
}

func shortestDelay(s *plainServer) *big.Rat { return big.NewRat(int64(s.act+1), int64(s.w)) }

func byWeightDown(s *plainServer) *big.Rat { return big.NewRat(int64(-s.w), 1) }

func (p *plainWorld) pick(client, dst netip.AddrPort) *plainServer {
	switch p.name {
	case "rr":
		for k := 1; k <= len(p.list); k++ {
			i := (p.cursor + k) % len(p.list)
			if p.cursor < 0 {
				i = k - 1
			}
			if p.list[i].usable() {
				p.cursor = i
				return p.list[i]
			}
		}
		return nil
	case "wrr":
		return p.wrr()
	case "lc":
		return best(p.list, (*plainServer).usable, func(s *plainServer) *big.Rat { return big.NewRat(s.load(), 1) })
	case "wlc":
		return p.leastWeighted()
	case "sed":
		return best(p.list, (*plainServer).usable, shortestDelay)
	case "nq":
		for _, s := range p.list {
			if s.usable() && s.act == 0 {
				return s
			}
		}
		return best(p.list, (*plainServer).usable, shortestDelay)
	case "fo":
		return best(p.list, (*plainServer).usable, byWeightDown)
	case "ovf":
		return best(p.list, func(s *plainServer) bool { return s.usable() && s.act <= s.w }, byWeightDown)
	case "sh":
		return p.sh(client)
	case "dh":
		if len(p.list) == 0 {
			return nil
		}
		s := p.list[plainBucket(plainFold(dst.Addr()))%len(p.list)]
		if !s.usable() {
			return nil
		}
		return s
	case "mh":
		return p.mh(client)
	case "lblc", "lblcr":
		return p.cached(dst.Addr())
	case "twos":
		return p.twos()
	}
	panic(p.name)
}

func (p *plainWorld) String() string {
	s := fmt.Sprintf("%s cursor %d cw %d:", p.name, p.cursor, p.cw)
	for _, x := range p.list {
		s += fmt.Sprintf(" %s w%d lw%d %d/%d up%d low%d over=%v", x.addr, x.w, x.lw, x.act, x.inact, x.upper, x.lower, x.over)
	}
	return s
}
