package ipvs

import (
	"math/big"
	"math/bits"
	"net/netip"
	"slices"
)

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
