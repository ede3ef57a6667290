package ipvs

import (
	"fmt"
	"math/big"
	"math/bits"
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

func (p *plainWorld) wrrChanged() {
	p.maglev = nil
	if p.name != "wrr" {
		return
	}
	p.cursor = -1
	step, top := p.wrrMeasure()
	if p.cw > top || p.cw == 0 {
		p.cw = top
	} else if step > 1 {
		p.cw = p.cw/step*step + 1
	}
}

func (p *plainWorld) wrrMeasure() (step, top int) {
	for _, s := range p.list {
		if s.w > 0 {
			step = int(new(big.Int).GCD(nil, nil, big.NewInt(int64(step)), big.NewInt(int64(s.w))).Int64())
		}
		top = max(top, s.w)
	}
	if step == 0 {
		return 1, 0
	}
	return step, top - step + 1
}

// wrr visits positions one by one: to the end of the list, then from its head with the weight one step lower.
func (p *plainWorld) wrr() *plainServer {
	step, top := p.wrrMeasure()
	if top == 0 {
		return nil
	}
	from := p.cursor
	wrapped, final := false, false // the weight began anew; this pass is of the lowest weight
	for i := from + 1; ; i++ {
		if i < len(p.list) {
			s := p.list[i]
			if s.w >= p.cw && !s.over {
				p.cursor = i
				return s
			}
			if i == from && wrapped && final {
				p.cursor = i
				return nil
			}
			continue
		}
		p.cw -= step
		if p.cw <= 0 {
			p.cw = top
			if final || from < 0 {
				p.cursor = -1
				return nil
			}
			wrapped = true
		}
		final = p.cw <= step
		i = -1
	}
}

func plainFold(a netip.Addr) uint32 {
	var x uint32
	b := a.AsSlice()
	for i := 0; i < len(b); i += 4 {
		x ^= uint32(b[i])<<24 | uint32(b[i+1])<<16 | uint32(b[i+2])<<8 | uint32(b[i+3])
	}
	return x
}

func plainBucket(x uint32) int { return int(uint64(x) * 0x61C88647 % (1 << 32) / (1 << 24)) }

func (p *plainWorld) sh(client netip.AddrPort) *plainServer {
	if len(p.list) == 0 {
		return nil
	}
	var table []*plainServer
	for len(table) < 256 {
		for _, s := range p.list {
			for range max(1, s.w) {
				table = append(table, s)
			}
		}
	}
	x := plainFold(client.Addr())
	if p.flags&SHPort != 0 {
		x += uint32(client.Port())
	}
	first := plainBucket(x)
	if table[first].usable() {
		return table[first]
	}
	if p.flags&SHFallback == 0 {
		return nil
	}
	for o := range 256 {
		if s := table[((o+first)%256+first)%256]; s.usable() {
			return s
		}
	}
	return nil
}

// plainSip is SipHash-1-3 of four bytes, after the algorithm's description.
func plainSip(k uint64, v uint32) uint32 {
	s := [4]uint64{k ^ 0x736f6d6570736575, k ^ 0x646f72616e646f6d, k ^ 0x6c7967656e657261, k ^ 0x7465646279746573}
	m := uint64(v) | 4<<56
	half := func(a, b, rot int) {
		s[a] += s[b]
		s[b] = bits.RotateLeft64(s[b], rot) ^ s[a]
	}
	round := func() {
		half(0, 1, 13)
		half(2, 3, 16)
		s[0] = bits.RotateLeft64(s[0], 32)
		half(2, 1, 17)
		half(0, 3, 21)
		s[2] = bits.RotateLeft64(s[2], 32)
	}
	s[3] ^= m
	round()
	s[0] ^= m
	s[2] ^= 0xff
	for range 3 {
		round()
	}
	return uint32(s[0] ^ s[1] ^ s[2] ^ s[3])
}

func (p *plainWorld) mh(client netip.AddrPort) *plainServer {
	if p.maglev == nil {
		p.maglev = p.mhTable()
	}
	table := p.maglev
	hash := func(o uint32) uint32 {
		x := plainFold(client.Addr()) + o
		if p.flags&MHPort != 0 {
			x += uint32(client.Port())
		}
		return plainSip(2654435761, x) % 4093
	}
	first := hash(0)
	s := table[first]
	if s == nil || s.usable() {
		return s
	}
	if p.flags&MHFallback == 0 {
		return nil
	}
	for o := range uint32(4093) {
		if s := table[hash((o+first)%4093)]; s == nil || s.usable() {
			return s
		}
	}
	return nil
}

func (p *plainWorld) mhTable() []*plainServer {
	table, filled := make([]*plainServer, 4093), 0
	g, top := 0, 0
	for _, s := range p.list {
		g = int(new(big.Int).GCD(nil, nil, big.NewInt(int64(g)), big.NewInt(int64(s.lw))).Int64())
		top = max(top, s.lw)
	}
	if g == 0 {
		return table
	}
	shift := 0
	for top/g>>shift > 63 {
		shift++
	}
	steps := make([]uint32, len(p.list))
	for {
		for i, s := range p.list {
			if s.lw == 0 {
				continue
			}
			v := plainFold(s.addr.Addr()) + uint32(s.addr.Port())
			offset, skip := plainSip(2654435761, v)%4093, plainSip(2654446892, v)%4092+1
			for range max(1, s.lw/g>>shift) {
				at := func() uint32 { return (offset + steps[i]*skip) % 4093 }
				for table[at()] != nil {
					steps[i]++
				}
				table[at()] = s
				if filled++; filled == 4093 {
					return table
				}
			}
		}
	}
}

func (p *plainWorld) overfull(s *plainServer) bool {
	return s.act > s.w && slices.ContainsFunc(p.list, func(x *plainServer) bool { return 2*x.act < x.w })
}

func (p *plainWorld) cached(dst netip.Addr) *plainServer {
	set := p.cache[dst]
	member := func(s *plainServer) bool {
		return s.w > 0 && slices.Contains(p.list, s) && (p.name == "lblc" || !s.over)
	}
	s := best(set, member, func(s *plainServer) *big.Rat { return big.NewRat(s.load(), int64(s.w)) })
	if s != nil && !p.overfull(s) {
		return s
	}
	s = p.leastWeighted()
	if s == nil {
		return nil
	}
	if p.name == "lblc" {
		set = nil
	}
	if !slices.Contains(set, s) {
		set = append([]*plainServer{s}, set...)
	}
	p.cache[dst] = set
	return s
}

func (p *plainWorld) twos() *plainServer {
	var tickets []*plainServer
	for _, s := range p.list {
		if s.usable() {
			for range s.w {
				tickets = append(tickets, s)
			}
		}
	}
	if len(tickets) == 0 {
		return nil
	}
	tickets = append([]*plainServer{tickets[0]}, tickets...) // 0 is a draw too
	a, b := tickets[p.draws(len(tickets))], tickets[p.draws(len(tickets))]
	if int64(b.w)*a.load() > int64(a.w)*b.load() {
		return b
	}
	return a
}

func (p *plainWorld) String() string {
	s := fmt.Sprintf("%s cursor %d cw %d:", p.name, p.cursor, p.cw)
	for _, x := range p.list {
		s += fmt.Sprintf(" %s w%d lw%d %d/%d up%d low%d over=%v", x.addr, x.w, x.lw, x.act, x.inact, x.upper, x.lower, x.over)
	}
	return s
}
