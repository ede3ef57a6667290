package ipvs

import "github.com/svclab/svclab/datapath/netfilter"

// dh hashes the destination address to a table in which the servers stand in turn (net/netfilter/ipvs/ip_vs_dh.c). A
// service of one address has one server that way.
type dh struct {
	buckets [hashBuckets]*Destination
	stale   bool
}

func newDH(*Service) scheduler { return &dh{stale: true} }

func (h *dh) changed(*Service, *Destination, change) { h.stale = true }
func (*dh) done(*Service)                            {}

func (h *dh) fill(s *Service) {
	h.stale = false
	d := s.first()
	for i := range h.buckets {
		h.buckets[i] = d
		if d == nil {
			continue
		}
		if d = s.after(d); d == nil {
			d = s.first()
		}
	}
}

func (*dh) bucket(f *flow) int { return hash8(fold(f.dst.Addr())) }

func (h *dh) pick(_ *netfilter.Walk, s *Service, f *flow) *Destination {
	if h.stale {
		h.fill(s)
	}
	d := h.buckets[h.bucket(f)]
	if d == nil || !d.Available || d.unusable() {
		return nil
	}
	return d
}
