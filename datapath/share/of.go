package share

import (
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// Outcome is one thing that can become of a packet, with its exact probability.
type Outcome struct {
	Fate       datapath.Fate
	Endpoint   netip.AddrPort // where it was sent instead of its own destination; invalid when no rule translated it
	Masquerade bool           // a rule translated its source on the way, be it to the address it had
	Source     netip.Addr     // the source the endpoint sees
	With       netfilter.Rejection
	Reason     string // why it was dropped outside any rule
	Problem    error  // a rule that is not modelled stopped the walk

	Probability Fraction
	Work        netfilter.Work // of the first path found to this outcome
}

// kind is what makes two paths the same outcome.
type kind struct {
	fate       datapath.Fate
	endpoint   netip.AddrPort
	masquerade bool
	with       netfilter.Rejection
	reason     string
	problem    string
}

// Of returns every outcome of a packet that enters the node by an interface, or at OUTPUT when in is "", in the order in which
// the rules reach them. The node is left as it was, its source of chance included.
func Of(n *datapath.Node, now time.Duration, in string, p packet.Packet) ([]Outcome, error) {
	var out []Outcome
	index := map[kind]int{}
	err := paths(n, now, in, p, func(pa Path[result]) bool {
		r := pa.Result
		k := kind{fate: r.d.Fate, with: r.d.With, reason: r.d.Reason, masquerade: r.masquerade(), endpoint: r.endpoint(&p)}
		if r.d.Problem != nil {
			k.problem = r.d.Problem.Error()
		}
		i, seen := index[k]
		if !seen {
			i = len(out)
			index[k] = i
			out = append(out, Outcome{
				Fate: k.fate, Endpoint: k.endpoint, Masquerade: k.masquerade, Source: r.p.Src.Addr(),
				With: k.with, Reason: k.reason, Problem: r.d.Problem, Work: r.d.Work,
			})
		}
		out[i].Probability = out[i].Probability.Add(pa.Probability)
		return true
	})
	return out, err
}

// Force returns the decisions that send the packet to an endpoint, for a Script, and whether there are any. A walk run with them
// does what a kernel did that made this pick.
func Force(n *datapath.Node, now time.Duration, in string, p packet.Packet, endpoint netip.AddrPort) ([]int, bool, error) {
	var decisions []int
	found := false
	err := paths(n, now, in, p, func(pa Path[result]) bool {
		if pa.Result.endpoint(&p) == endpoint {
			decisions, found = pa.Decisions(), true
		}
		return !found
	})
	return decisions, found, err
}

// ForceAll returns for each endpoint that the packet can be sent to the decisions that send it there, as Force does, in one
// enumeration. The invalid endpoint stands for not being translated.
func ForceAll(n *datapath.Node, now time.Duration, in string, p packet.Packet) (map[netip.AddrPort][]int, error) {
	all := map[netip.AddrPort][]int{}
	err := paths(n, now, in, p, func(pa Path[result]) bool {
		if e := pa.Result.endpoint(&p); all[e] == nil {
			all[e] = append([]int{}, pa.Decisions()...)
		}
		return true
	})
	return all, err
}

// result is a packet after its walk.
type result struct {
	d datapath.Disposition
	p packet.Packet
}

func (r *result) endpoint(before *packet.Packet) netip.AddrPort {
	if r.d.Fate != datapath.Forwarded && r.d.Fate != datapath.Delivered || r.p.Dst == before.Dst {
		return netip.AddrPort{}
	}
	return r.p.Dst
}

func (r *result) masquerade() bool {
	return (r.d.Fate == datapath.Forwarded || r.d.Fate == datapath.Delivered) && r.d.Masqueraded
}

func paths(n *datapath.Node, now time.Duration, in string, p packet.Packet, visit func(Path[result]) bool) error {
	var current Source
	old := n.SetSource(&lazy{&current})
	defer n.SetSource(old)
	return Enumerate(func(s Source) result {
		current = s
		r := result{p: p}
		n.Undo(func() {
			if in == "" {
				r.d = n.Send(now, &r.p)
			} else {
				r.d = n.Receive(now, in, &r.p)
			}
		})
		r.d.Answer, r.d.Conn = nil, nil
		return r
	}, visit)
}

// lazy is a source that passes each question on to the present one.
type lazy struct{ s *Source }

func (l *lazy) Chance(p31 uint32) bool { return (*l.s).Chance(p31) }
func (l *lazy) Intn(n int) int         { return (*l.s).Intn(n) }
func (l *lazy) Port(n int) int         { return 0 }
