package ipvs

import (
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// DefaultScheduler is what ipvsadm uses when none is named.
const DefaultScheduler = "wlc"

// SchedulerFlags are the flags of a service that its scheduler interprets (include/uapi/linux/ip_vs.h, IP_VS_SVC_F_SCHED1
// and on).
type SchedulerFlags uint8

// The flags. sh and mh give the first two a meaning; the third has none.
const (
	Flag1 SchedulerFlags = 1 << iota
	Flag2
	Flag3

	SHFallback = Flag1 // sh: another bucket when the bucket's server is unusable
	SHPort     = Flag2 // sh: the client's port is hashed too
	MHFallback = Flag1
	MHPort     = Flag2
)

// scheduler picks servers for the new connections of one service.
type scheduler interface {
	// changed runs after a server was added, edited or removed; a removed one still has its former neighbours.
	changed(s *Service, d *Destination, c change)
	// pick chooses a server, nil when none is usable. What it changes in its own state it records in w.Journal.
	pick(w *netfilter.Walk, s *Service, f *flow) *Destination
	// state describes the scheduler's state, as it matters for the next pick of a flow.
	state(s *Service, f *flow) SchedulerState
	// done runs when the service gets another scheduler or is removed.
	done(s *Service)
}

// ticker is a scheduler with a timer of its own.
type ticker interface {
	nextTick() time.Duration
	tick(s *Service, now time.Duration)
}

// change is what happened to a service's list.
type change uint8

const (
	added change = iota
	edited
	removed
)

// stateless is embedded by schedulers that keep nothing between picks.
type stateless struct{}

func (stateless) changed(*Service, *Destination, change) {}
func (stateless) done(*Service)                          {}

// schedulers are the modules of Linux 6.1 (net/netfilter/ipvs/ip_vs_*.c). The function makes the state of a service that may
// already have servers.
var schedulers = map[string]func(*Service) scheduler{
	"rr":    newRR,
	"wrr":   newWRR,
	"lc":    func(*Service) scheduler { return lc{} },
	"wlc":   func(*Service) scheduler { return wlc{} },
	"fo":    func(*Service) scheduler { return fo{} },
	"ovf":   func(*Service) scheduler { return ovf{} },
	"lblc":  newLBLC,
	"lblcr": newLBLCR,
	"sh":    newSH,
	"mh":    newMH,
	"dh":    newDH,
	"sed":   func(*Service) scheduler { return sed{} },
	"nq":    func(*Service) scheduler { return nq{} },
	"twos":  func(*Service) scheduler { return twos{} },
}

// Schedulers returns the names of the schedulers, sorted.
func Schedulers() []string {
	names := make([]string, 0, len(schedulers))
	for n := range schedulers {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func checkScheduler(name string, f SchedulerFlags) error {
	if schedulers[name] == nil {
		return &SchedulerError{Name: name}
	}
	if f > Flag1|Flag2|Flag3 {
		return ErrSchedulerFlag
	}
	return nil
}

// SchedulerError is the name of a scheduler that does not exist. It is an ErrUnknownScheduler.
type SchedulerError struct{ Name string }

func (e *SchedulerError) Error() string {
	return ErrUnknownScheduler.Error() + " " + `"` + quote(e.Name) + `": there are ` + strings.Join(Schedulers(), ", ")
}

// Is makes errors.Is(err, ErrUnknownScheduler) true.
func (e *SchedulerError) Is(target error) bool { return target == ErrUnknownScheduler }

// bindScheduler starts a service's scheduler with the servers present (ip_vs_bind_scheduler).
func (t *Table) bindScheduler(s *Service) {
	s.sched = schedulers[s.Scheduler](s)
	if _, ok := s.sched.(ticker); ok {
		t.tickers = append(t.tickers, s)
	}
}

func (t *Table) unbindScheduler(s *Service) {
	s.sched.done(s)
	if i := slices.Index(t.tickers, s); i >= 0 {
		t.tickers = slices.Delete(t.tickers, i, i+1)
	}
}

// pick runs the scheduler for a packet, and explains it to a trace.
func (t *Table) pick(w *netfilter.Walk, s *Service, p *packet.Packet) *Destination {
	t.flow = flow{client: p.Src, dst: p.Dst}
	f := &t.flow
	if w.Trace == nil {
		return s.sched.pick(w, s, f)
	}
	before := s.sched.state(s, f)
	d := s.sched.pick(w, s, f)
	explainPick(w, s, d, before, s.sched.state(s, f))
	return d
}
