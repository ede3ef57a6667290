package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"sync"

	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/box"
)

func init() { box.Register(role, newAgent) }

// agent is this package inside a box: it owns the namespaces, carries out operations and sends flows.
type agent struct {
	in                  *box.Inside
	node, outside, pods *box.Namespace
	top                 Topology

	responders [Node + 1]*box.Responder // by side
	vs         *box.IPVS                // nil until it is used

	mu      sync.Mutex
	servers map[Backend]func() // what stops each
	locals  map[localKey]int   // addresses that sockets or clients use, by the number of backends at them
	// selfless are the addresses that drop what comes from themselves.
	selfless map[netip.Addr]bool
}

func newAgent(in *box.Inside) (map[string]box.Handler, error) {
	a := &agent{in: in}
	return map[string]box.Handler{
		"setup": func(_ context.Context, r *box.Request) error {
			var q setupRequest
			if err := r.Decode(&q); err != nil {
				return err
			}
			if err := a.tear(); err != nil {
				return err
			}
			a.top = q.Topology
			if err := a.build(); err != nil {
				return err
			}
			return a.serve(q.Topology.Backends)
		},
		"backends": func(_ context.Context, r *box.Request) error {
			var b []Backend
			if err := r.Decode(&b); err != nil {
				return err
			}
			return a.serve(b)
		},
		"apply":     a.apply,
		"run":       a.run,
		"version":   a.versionOf,
		"dump":      a.dump,
		"sets":      a.sets,
		"counters":  a.counters,
		"conntrack": a.conntrack,
		"ipvs":      a.dumpIPVS,
		"time":      a.time,
	}, nil
}

// tear lets go of what an earlier setup built.
func (a *agent) tear() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, stop := range a.servers {
		stop()
	}
	a.servers, a.locals, a.selfless = map[Backend]func(){}, map[localKey]int{}, map[netip.Addr]bool{}
	a.vs.Close()
	a.vs = nil
	err := errors.Join(a.node.Close(), a.outside.Close(), a.pods.Close())
	a.node, a.outside, a.pods = nil, nil, nil
	return err
}

func (a *agent) side(s Side) *box.Namespace {
	switch s {
	case Pods:
		return a.pods
	case Node:
		return a.node
	}
	return a.outside
}

func (a *agent) apply(ctx context.Context, r *box.Request) error {
	var q applyRequest
	if err := r.Decode(&q); err != nil {
		return err
	}
	ans := applyAnswer{Failed: -1}
	for i := 0; i < len(q.Steps); i++ {
		s := &q.Steps[i]
		if n := bulkRun(q.Steps[i:]); n > 1 {
			if failed, err := a.bulk(q.Steps[i : i+n]); err != nil {
				ans.Failed = q.Steps[i+failed].Index
				return errors.Join(r.Answer(ans), err)
			}
			i += n - 1
			continue
		}
		note, err := a.do(ctx, s)
		if note != "" {
			ans.Notes = append(ans.Notes, Note{Index: s.Index, Op: s.Op, Text: note})
		}
		if err != nil {
			ans.Failed = s.failedAt(err)
			return errors.Join(r.Answer(ans), err)
		}
	}
	return r.Answer(ans)
}

// do carries out one step. A note says what could not be done to the letter and is no reason to stop.
func (a *agent) do(ctx context.Context, s *step) (note string, err error) {
	switch s.Do {
	case addressAdd:
		return "", a.node.AddAddress(s.Link, s.Prefix)
	case addressDelete:
		return "", a.node.DeleteAddress(s.Link, s.Prefix)
	case linkAdd:
		err := a.node.AddDummy(s.Link)
		if errors.Is(err, fs.ErrExist) {
			return "it exists already", nil
		}
		return "", err
	case linkDelete:
		return "", a.node.DeleteLink(s.Link)
	case sysctl:
		return a.setSysctl(s.Key, s.Value)
	case conntrackDelete:
		_, err := a.node.DeleteConntrack(s.Deleted.Family, s.Deleted.match)
		return "", err
	}
	switch s.Do {
	case ipvsCommand, ipvsTimeouts:
		v, err := a.ipvs()
		if err == nil && s.Do == ipvsTimeouts {
			err = v.SetTimeouts(s.Timeouts)
		} else if err == nil {
			err = v.Run(s.IPVS)
		}
		return "", err
	}
	if s.Argv[0] == "ipvsadm" {
		if _, err := os.Stat("/proc/net/ip_vs"); err != nil {
			return "", &box.MissingError{What: "IPVS", Reason: box.NoKernelFeature, Err: err, Mend: "sudo modprobe ip_vs, or use a kernel of its own"}
		}
	}
	_, err = a.node.Run(ctx, box.Command{Argv: s.Argv, Stdin: s.Stdin})
	return "", err
}

// bulkRun is how many steps at the start of a list can be carried out by a few large netlink messages: commands of IPVS, and the
// addresses of one interface between them, as kube-proxy's ipvs mode gives its services.
func bulkRun(list []step) int {
	link := ""
	for n := range list {
		s := &list[n]
		switch {
		case s.Do == ipvsCommand:
		case s.Do == addressAdd && s.Prefix.IsSingleIP() && (link == "" || link == s.Link):
			link = s.Link
		default:
			return n
		}
	}
	return len(list)
}

// bulk carries out such steps, addresses before the rest: nothing that is sent to an address meanwhile is answered either way.
func (a *agent) bulk(list []step) (failed int, err error) {
	var commands []ipvs.Command
	var prefixes []netip.Prefix
	var link string
	var command, prefix []int // which step each is of
	for i := range list {
		if s := &list[i]; s.Do == ipvsCommand {
			commands, command = append(commands, s.IPVS), append(command, i)
		} else {
			prefixes, prefix, link = append(prefixes, s.Prefix), append(prefix, i), s.Link
		}
	}
	if len(prefixes) > 0 {
		if at, err := a.node.AddAddresses(link, prefixes); err != nil {
			return prefix[at], err
		}
	}
	if len(commands) == 0 {
		return 0, nil
	}
	v, err := a.ipvs()
	if err != nil {
		return command[0], err
	}
	if at, err := v.RunAll(commands); err != nil {
		return command[at], err
	}
	return 0, nil
}

// ipvs opens the node's IPVS when it is first needed.
func (a *agent) ipvs() (*box.IPVS, error) {
	if a.vs == nil {
		v, err := a.node.IPVS()
		if err != nil {
			return nil, err
		}
		a.vs = v
	}
	return a.vs, nil
}

// dumpIPVS answers with IPVS as the kernel has it.
func (a *agent) dumpIPVS(_ context.Context, r *box.Request) error {
	v, err := a.ipvs()
	if err != nil {
		return err
	}
	d, err := v.Dump()
	if err != nil {
		return err
	}
	return r.Answer(d)
}

// setSysctl sets a parameter of the node. What a namespace may not set stays as it is, which is no more than a note.
func (a *agent) setSysctl(key, value string) (string, error) {
	if now, err := a.node.Sysctl(key); err == nil && now == value {
		return "", nil
	}
	err := a.node.SetSysctl(key, value)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		now, _ := a.node.Sysctl(key)
		return fmt.Sprintf("not set (%v); it is %q", err, now), nil
	}
	return "", err
}

// match selects as conntrack -D does: zero fields select everything.
func (f conntrackFilter) match(e box.ConntrackEntry) bool {
	switch {
	case f.Proto != 0 && e.Orig.Proto != f.Proto,
		f.OrigSrc.IsValid() && e.Orig.Src.Addr() != f.OrigSrc,
		f.OrigDst.Addr().IsValid() && e.Orig.Dst.Addr() != f.OrigDst.Addr(),
		f.OrigDst.Port() != 0 && e.Orig.Dst.Port() != f.OrigDst.Port(),
		f.ReplySrc.Addr().IsValid() && e.Reply.Src.Addr() != f.ReplySrc.Addr(),
		f.ReplySrc.Port() != 0 && e.Reply.Src.Port() != f.ReplySrc.Port():
		return false
	}
	return true
}

func (a *agent) conntrack(_ context.Context, r *box.Request) error {
	var q inspectRequest
	if err := r.Decode(&q); err != nil {
		return err
	}
	if q.Family != packet.IPv6 {
		q.Family = packet.IPv4
	}
	e, err := a.node.Conntrack(q.Family)
	if err != nil {
		return err
	}
	return r.Answer(e)
}
