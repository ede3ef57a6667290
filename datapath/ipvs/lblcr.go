package ipvs

import "github.com/svclab/svclab/datapath/netfilter"

// lblcr keeps a destination address with a set of servers, which grows when the least loaded member is overfull and shrinks
// when it has not changed for long (net/netfilter/ipvs/ip_vs_lblcr.c).
type lblcr struct{ cache }

func newLBLCR(s *Service) scheduler { return &lblcr{newCache(s, s.table.sysctl.lblcr)} }

func (l *lblcr) pick(w *netfilter.Walk, s *Service, f *flow) *Destination {
	a := f.dst.Addr()
	l.save(w.Journal, a)
	e := l.entries[a]
	if e == nil {
		d := leastOverhead(s)
		if d != nil {
			l.insert(w.Journal, w.Now, a, d)
		}
		return d
	}
	e.used = w.Now
	d := leastOf(e.servers)
	if len(e.servers) > 1 && w.Now > e.changed+s.table.sysctl.lblcr() {
		if m := mostOf(e.servers); m != nil {
			l.remove(w.Now, e, m)
		}
	}
	if d != nil && !overfull(d, s) {
		return d
	}
	if d = leastOverhead(s); d == nil {
		return nil
	}
	for _, x := range e.servers {
		if x == d {
			return d
		}
	}
	l.insert(w.Journal, w.Now, a, d)
	return d
}

// leastOf is the least loaded usable member of a set (ip_vs_dest_set_min).
func leastOf(set []*Destination) *Destination {
	var least *Destination
	var low int64
	for _, d := range set {
		if d.Overload {
			continue
		}
		o := d.overhead()
		switch {
		case least == nil:
			if d.Weight > 0 && d.Available {
				least, low = d, o
			}
		case d.Available && low*int64(d.Weight) > o*int64(least.Weight):
			least, low = d, o
		}
	}
	return least
}

// mostOf is the most loaded member of positive weight (ip_vs_dest_set_max).
func mostOf(set []*Destination) *Destination {
	var most *Destination
	var high int64
	for _, d := range set {
		if d.Weight <= 0 {
			continue
		}
		o := d.overhead()
		if most == nil || high*int64(d.Weight) < o*int64(most.Weight) {
			most, high = d, o
		}
	}
	return most
}
