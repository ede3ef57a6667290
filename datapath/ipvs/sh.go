package ipvs

import "github.com/svclab/svclab/datapath/netfilter"

const hashBuckets = 256

// sh hashes the client's address to a table in which every server has buckets by its weight (net/netfilter/ipvs/ip_vs_sh.c).
// A server of weight 0 keeps a bucket a turn, and its clients are refused.
type sh struct {
	buckets [hashBuckets]*Destination
	stale   bool // the list changed since the table was filled
}

func newSH(*Service) scheduler { return &sh{stale: true} }

func (h *sh) changed(*Service, *Destination, change) { h.stale = true }
func (*sh) done(*Service)                            {}

// fill gives the buckets to the servers in turn, as many at a time as the weight (ip_vs_sh_reassign).
func (h *sh) fill(s *Service) {
	h.stale = false
	d := s.first()
	if d == nil {
		h.buckets = [hashBuckets]*Destination{}
		return
	}
	given := 0
	for i := range h.buckets {
		h.buckets[i] = d
		if given++; given >= d.Weight {
			given = 0
			if d = s.after(d); d == nil {
				d = s.first()
			}
		}
	}
}

// bucket is where a client's flow looks (ip_vs_sh_hashkey).
func (*sh) bucket(s *Service, f *flow) int {
	x := fold(f.client.Addr())
	if s.Flags&SHPort != 0 {
		x += uint32(f.client.Port())
	}
	return hash8(x)
}

func (h *sh) pick(_ *netfilter.Walk, s *Service, f *flow) *Destination {
	if h.stale {
		h.fill(s)
	}
	return h.resolve(s, h.bucket(s, f))
}

// resolve is the server of a bucket, or the one its clients fall back on (ip_vs_sh_get, ip_vs_sh_get_fallback).
func (h *sh) resolve(s *Service, i int) *Destination {
	d := h.buckets[i]
	if d == nil || !d.unusable() {
		return d
	}
	if s.Flags&SHFallback == 0 {
		return nil
	}
	// The first bucket enters twice: the retries begin at 2i, not at i+1.
	for o := range hashBuckets {
		if d := h.buckets[(o+i+i)%hashBuckets]; !d.unusable() {
			return d
		}
	}
	return nil
}
