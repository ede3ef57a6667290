package ipvs

import (
	"math/bits"

	"github.com/svclab/svclab/datapath/netfilter"
	"net/netip"
)

// The table size is the kernel's default, CONFIG_IP_VS_MH_TAB_INDEX=12, and its keys (net/netfilter/ipvs/ip_vs_mh.c).
const (
	mhSize  = 4093
	mhBits  = 12
	mhKey1  = 2654435761
	mhKey2  = 2654446892
	mhSpare = mhSize - 1
)

// mh is Maglev hashing: every server has a preference list of table entries and takes entries in turn. It goes by the last
// weight that was not 0, so that a server of weight 0 moves nobody else's clients.
type mh struct {
	lookup [mhSize]*Destination
	stale  bool
}

func newMH(*Service) scheduler { return &mh{stale: true} }

func (h *mh) changed(*Service, *Destination, change) { h.stale = true }
func (*mh) done(*Service)                            {}

// preference is a server's list of entries: offset, offset+skip, offset+2*skip and so on.
func mhPreference(a netip.AddrPort) (offset, skip uint32) {
	v := fold(a.Addr()) + uint32(a.Port())
	return sipHash13(mhKey1, v) % mhSize, sipHash13(mhKey2, v)%mhSpare + 1
}

// fill is ip_vs_mh_reassign, ip_vs_mh_permutate and ip_vs_mh_populate.
func (h *mh) fill(s *Service) {
	h.stale = false
	clear(h.lookup[:])
	g, top := 0, 0
	for d := s.first(); d != nil; d = s.after(d) {
		if d.LastWeight > 0 {
			g = gcd(d.LastWeight, g)
			top = max(top, d.LastWeight)
		}
	}
	if g == 0 {
		return
	}
	shift := max(0, bits.Len(uint(top/g))-mhBits/2)
	type turn struct {
		d          *Destination
		next, skip uint32
		turns      int
	}
	var order []turn
	for d := s.first(); d != nil; d = s.after(d) {
		if d.LastWeight > 0 {
			t := turn{d: d, turns: max(1, d.LastWeight/g>>shift)}
			t.next, t.skip = mhPreference(d.Addr)
			order = append(order, t)
		}
	}
	for n := 0; ; {
		for i := range order {
			t := &order[i]
			for range t.turns {
				for h.lookup[t.next] != nil {
					t.next += t.skip
					if t.next >= mhSize {
						t.next -= mhSize
					}
				}
				h.lookup[t.next] = t.d
				if n++; n == mhSize {
					return
				}
			}
		}
	}
}

// entry is where a client's flow looks (ip_vs_mh_hashkey).
func (*mh) entry(s *Service, f *flow, offset uint32) uint32 {
	v := offset + fold(f.client.Addr())
	if s.Flags&MHPort != 0 {
		v += uint32(f.client.Port())
	}
	return sipHash13(mhKey1, v) % mhSize
}

func (h *mh) pick(_ *netfilter.Walk, s *Service, f *flow) *Destination {
	if h.stale {
		h.fill(s)
	}
	i := h.entry(s, f, 0)
	d := h.lookup[i]
	if d == nil || !d.unusable() {
		return d
	}
	if s.Flags&MHFallback == 0 {
		return nil
	}
	// Retries hash again, with an offset added to the key (ip_vs_mh_get_fallback).
	for o := range uint32(mhSize) {
		d := h.lookup[h.entry(s, f, (o+i)%mhSize)]
		if d == nil {
			return nil
		}
		if !d.unusable() {
			return d
		}
	}
	return nil
}
