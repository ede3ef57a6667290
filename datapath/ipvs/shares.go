package ipvs

import (
	"net/netip"

	"github.com/svclab/svclab/datapath/journal"
	"github.com/svclab/svclab/datapath/netfilter"
)

// Next says which server a new connection would be given now, and changes nothing. The pick's Server is invalid when nobody
// is usable. It is for schedulers that draw nothing; of twos it takes the draws of w.Source, see Chances. ok is false when
// there is no such service.
func (t *Table) Next(w *netfilter.Walk, k ServiceKey, client, dst netip.AddrPort) (p Pick, ok bool) {
	s := t.services[k]
	if s == nil {
		return Pick{}, false
	}
	var undo journal.Journal
	x := *w
	x.Journal, x.Trace = &undo, nil
	f := &flow{client: client, dst: dst}
	p = Pick{Service: k, Scheduler: s.Scheduler, Before: s.sched.state(s, f)}
	d := s.sched.pick(&x, s, f)
	p.After = s.sched.state(s, f)
	p.Reason = reason(s, d, &p.Before)
	if d != nil {
		p.Server = d.Addr
	}
	undo.Rollback()
	return p, true
}

// Period is how new connections are shared over one period of a scheduler.
type Period struct {
	Picks  uint64  // length of the period; the sum of the shares' Picks and Refused
	Shares []Share // in the kernel's list order
	// Refused is how many of the period get no server.
	Refused uint64
	// Of says what the period counts.
	Of string
}

// Share is a server's part of a period.
type Share struct {
	Server netip.AddrPort
	Picks  uint64
}

// What a period counts.
const (
	ofConnections = "new connections in turn"
	ofOpen        = "connections that stay open"
	ofClients     = "client addresses, by hash bucket"
	ofAddresses   = "destination addresses, by hash bucket"
)

// Period returns the long-run share of each server in the present configuration: of rr and wrr over one round; of the
// schedulers that go by load, over the connections that leave equal loads for equal weights, if none is closed meanwhile; of
// the hashes over the buckets. ok is false where there is no period: twos draws, lblc and lblcr follow the addresses asked for.
func (t *Table) Period(k ServiceKey) (p Period, ok bool) {
	s := t.services[k]
	if s == nil {
		return Period{}, false
	}
	switch h := s.sched.(type) {
	case *rr:
		return s.period(ofConnections, func(*Destination) int { return 1 }), true
	case *wrr:
		return s.period(ofConnections, func(d *Destination) int { return d.Weight / h.step }), true
	case lc:
		return s.period(ofOpen, func(*Destination) int { return 1 }), true
	case wlc, sed, nq:
		g := 0
		for d := s.first(); d != nil; d = s.after(d) {
			if !d.unusable() {
				g = gcd(d.Weight, g)
			}
		}
		return s.period(ofOpen, func(d *Destination) int { return d.Weight / g }), true
	case fo:
		d := h.pick(nil, s, nil)
		return s.period(ofOpen, func(x *Destination) int {
			if x == d {
				return 1
			}
			return 0
		}), true
	case ovf:
		return s.period(ofOpen+", until all are full", func(d *Destination) int { return max(0, d.Weight+1-d.Active) }), true
	case *sh:
		if h.stale {
			h.fill(s)
		}
		return s.buckets(ofClients, h.buckets[:], func(i int) *Destination { return h.resolve(s, i) }), true
	case *dh:
		if h.stale {
			h.fill(s)
		}
		return s.buckets(ofAddresses, h.buckets[:], usableOnly(h.buckets[:])), true
	case *mh:
		if h.stale {
			h.fill(s)
		}
		p := s.buckets(ofClients, h.lookup[:], usableOnly(h.lookup[:]))
		if s.Flags&MHFallback != 0 && p.Refused < p.Picks {
			// Clients of unusable servers are hashed again, evenly over the rest.
			p.Picks, p.Refused = p.Picks-p.Refused, 0
		}
		return p, true
	}
	return Period{}, false
}

func usableOnly(table []*Destination) func(int) *Destination {
	return func(i int) *Destination {
		if d := table[i]; d != nil && !d.unusable() {
			return d
		}
		return nil
	}
}

// period gives each usable server its picks.
func (s *Service) period(of string, picks func(*Destination) int) Period {
	p := Period{Of: of}
	for d := s.first(); d != nil; d = s.after(d) {
		n := uint64(0)
		if !d.unusable() {
			n = uint64(picks(d))
		}
		p.Shares = append(p.Shares, Share{d.Addr, n})
		p.Picks += n
	}
	return p
}

// buckets counts the buckets of each server.
func (s *Service) buckets(of string, table []*Destination, serves func(i int) *Destination) Period {
	p := Period{Of: of, Picks: uint64(len(table))}
	have := map[*Destination]uint64{}
	for i := range table {
		d := serves(i)
		if d == nil {
			p.Refused++
		}
		have[d]++
	}
	for d := s.first(); d != nil; d = s.after(d) {
		p.Shares = append(p.Shares, Share{d.Addr, have[d]})
	}
	return p
}
