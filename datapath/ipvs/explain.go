package ipvs

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/svclab/svclab/datapath/netfilter"
)

// Pick explains one choice of a scheduler. A trace has it as the Ref of a step of kind StepIPVS.
type Pick struct {
	Service   ServiceKey
	Scheduler string
	Server    netip.AddrPort // invalid: nobody was usable
	Reason    string         // why this server won
	Before    SchedulerState
	After     SchedulerState
}

// SchedulerState is what a scheduler goes by at one moment, for one flow. Fields that the scheduler has no use for are zero.
type SchedulerState struct {
	Cursor        netip.AddrPort // rr, wrr: the server picked last; invalid at the head of the list
	CurrentWeight int            // wrr: servers of at least this weight are taken
	MaxWeight     int            // wrr: where a round begins
	Step          int            // wrr: by how much the current weight sinks

	Hashed       bool           // sh, dh, mh: Bucket and BucketServer hold
	Bucket       int            // sh, dh: 0..255; mh: 0..4092
	BucketServer netip.AddrPort // whose bucket it is; invalid when empty

	Cached []netip.AddrPort // lblc, lblcr: servers remembered for the destination address

	Servers []ServerLoad // in the kernel's list order, newest first
}

// ServerLoad is one row of the table that load-going schedulers compare.
type ServerLoad struct {
	Server           netip.AddrPort
	Weight           int
	Active, Inactive int
	Overhead         int64 // 256*active + inactive; sed and nq: active + 1
	Overload         bool
}

// Result spells the pick for a line of a trace.
func (p *Pick) Result() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s: ", p.Scheduler, p.Service)
	if p.Server.IsValid() {
		fmt.Fprintf(&b, "%s, ", p.Server)
	} else {
		b.WriteString("no server, ")
	}
	b.WriteString(p.Reason)
	return b.String()
}

func explainPick(w *netfilter.Walk, s *Service, d *Destination, before, after SchedulerState) {
	p := &Pick{Service: s.Key, Scheduler: s.Scheduler, Before: before, After: after}
	if d != nil {
		p.Server = d.Addr
	}
	p.Reason = reason(s, d, &before)
	w.Trace.Add(netfilter.Step{Hook: w.Hook, Kind: netfilter.StepIPVS, Ref: p, Result: p.Result(), Matched: d != nil})
}

// loads is the overhead table; load measures a server.
func loads(s *Service, load func(*Destination) int64) []ServerLoad {
	rows := make([]ServerLoad, 0, s.count)
	for d := s.first(); d != nil; d = s.after(d) {
		rows = append(rows, ServerLoad{d.Addr, d.Weight, d.Active, d.Inactive, load(d), d.Overload})
	}
	return rows
}

func overheads(s *Service) SchedulerState {
	return SchedulerState{Servers: loads(s, (*Destination).overhead)}
}

func delays(s *Service) SchedulerState { return SchedulerState{Servers: loads(s, delay)} }

func addrOf(s *Service, d *Destination) netip.AddrPort {
	if d == nil || d == &s.head {
		return netip.AddrPort{}
	}
	return d.Addr
}

func (r *rr) state(s *Service, _ *flow) SchedulerState {
	st := overheads(s)
	st.Cursor = addrOf(s, r.cursor)
	return st
}

func (r *wrr) state(s *Service, _ *flow) SchedulerState {
	st := overheads(s)
	st.Cursor, st.CurrentWeight, st.MaxWeight, st.Step = addrOf(s, r.last), r.cw, r.max, r.step
	return st
}

func (lc) state(s *Service, _ *flow) SchedulerState   { return overheads(s) }
func (wlc) state(s *Service, _ *flow) SchedulerState  { return overheads(s) }
func (fo) state(s *Service, _ *flow) SchedulerState   { return overheads(s) }
func (ovf) state(s *Service, _ *flow) SchedulerState  { return overheads(s) }
func (twos) state(s *Service, _ *flow) SchedulerState { return overheads(s) }
func (sed) state(s *Service, _ *flow) SchedulerState  { return delays(s) }
func (nq) state(s *Service, _ *flow) SchedulerState   { return delays(s) }

func (h *sh) state(s *Service, f *flow) SchedulerState {
	if h.stale {
		h.fill(s)
	}
	i := h.bucket(s, f)
	return hashed(s, i, h.buckets[i])
}

func (h *dh) state(s *Service, f *flow) SchedulerState {
	if h.stale {
		h.fill(s)
	}
	i := h.bucket(f)
	return hashed(s, i, h.buckets[i])
}

func (h *mh) state(s *Service, f *flow) SchedulerState {
	if h.stale {
		h.fill(s)
	}
	i := h.entry(s, f, 0)
	return hashed(s, int(i), h.lookup[i])
}

func hashed(s *Service, i int, d *Destination) SchedulerState {
	st := overheads(s)
	st.Hashed, st.Bucket, st.BucketServer = true, i, addrOf(s, d)
	return st
}

func (c *cache) state(s *Service, f *flow) SchedulerState {
	st := overheads(s)
	if e := c.entries[f.dst.Addr()]; e != nil {
		for _, d := range e.servers {
			st.Cached = append(st.Cached, d.Addr)
		}
	}
	return st
}
