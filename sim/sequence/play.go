package sequence

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/kubeproxy"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/input"
)

// errProgramming is what iptables-restore, or nft, reports where a step has it fail.
var errProgramming = errors.New("programming fails in this step")

// player is a sequence under way.
type player struct {
	name     string
	objects  *input.Objects
	host     *host
	mode     service.Mode
	proxier  kubeproxy.Proxier // nil after a clean-up: the process has ended
	now      time.Duration
	topology map[string]string // the node's topology labels, once a step has changed them
	switches bool              // some step restarts or cleans up: all of the node's tables are recorded
}

// host is the node: rule sets and flows, where programming can be made to fail and servers have the connections that steps
// say.
type host struct {
	*kubeproxy.RulesHost
	fail        bool
	connections map[string]Connections // by virtual and real server
}

// RealServers lists the servers of a service with their connections.
func (h *host) RealServers(k ipvs.ServiceKey) ([]kubeproxy.RealServer, bool) {
	list, ok := h.RulesHost.RealServers(k)
	virtual := strings.ToUpper(k.Proto.String()) + " " + k.Addr.String()
	for i := range list {
		c := h.connections[virtual+" "+list[i].Addr.String()]
		list[i].Active, list[i].Inactive = c.Active, c.Inactive
	}
	return list, ok
}

func (h *host) Run(op datapath.Op) error {
	switch op.(type) {
	case datapath.IPTablesRestore, datapath.NFTRun:
		if h.fail {
			return errProgramming
		}
	}
	return h.RulesHost.Run(op)
}

// Play plays a sequence that starts in a mode: mode if it is not empty, else the one of its configuration, else
// iptables. name is the file's, for messages.
func Play(name string, s *Sequence, mode service.Mode) (*Record, error) {
	objects, err := input.Read(nil)
	if err != nil {
		return nil, &Error{File: name, Err: err}
	}
	p := &player{name: name, objects: objects, host: &host{RulesHost: kubeproxy.NewRulesHost(), connections: map[string]Connections{}}, mode: mode}
	for i := range s.Steps {
		p.switches = p.switches || s.Steps[i].Restart != "" || s.Steps[i].Cleanup
	}
	r := &Record{SchemaVersion: "svclab/v1alpha1", Kind: "Sync"}
	for i := range s.Steps {
		rec, err := p.step(&s.Steps[i], i == 0)
		if err != nil {
			return nil, &Error{File: name, Step: s.Steps[i].Name, Index: i, Err: err}
		}
		if i == 0 {
			r.Mode = string(p.mode)
		}
		r.Steps = append(r.Steps, rec)
	}
	return r, nil
}

// step lets time pass, changes objects, and has kube-proxy sync once.
func (p *player) step(s *Step, first bool) (StepRecord, error) {
	p.now += s.Advance
	rec := StepRecord{Name: s.Name, AtSeconds: p.now.Seconds(), Log: []string{}}
	if err := p.change(s); err != nil {
		return rec, err
	}
	if s.Restart != "" && s.Restart != "same" {
		p.mode = service.Mode(s.Restart)
	}
	state, err := p.state()
	if err != nil {
		return rec, err
	}
	p.host.Flows = append(p.host.Flows, s.Flows...)
	p.host.fail = s.FailCommand
	for _, c := range s.Connections {
		p.host.connections[c.Virtual+" "+c.Real] = c
	}
	before := slices.Clone(p.host.Flows)
	if g, ok := p.proxier.(kubeproxy.Graceful); ok { // of the process that was running meanwhile
		p.checks(g, &rec)
	}

	var work kubeproxy.Result
	switch {
	case s.Cleanup:
		p.proxier = nil
		if work, err = p.cleanup(kubeproxy.AllModes, &rec); err != nil {
			return rec, err
		}
	case first:
		work, err = p.start(state)
	case s.Restart != "":
		rec.Mode = string(p.mode)
		cleaned, e := p.cleanup(kubeproxy.CleanedAtStart(p.mode), &rec)
		if e != nil {
			return rec, e
		}
		rec.CleanupLog = cleaned.Log
		if w := workOf(cleaned); len(cleaned.Ops) > 0 || len(cleaned.Commands) > 0 {
			rec.CleanupWork = &w
		}
		work, err = p.start(state)
	}
	if err != nil {
		return rec, err
	}
	if p.proxier != nil {
		done, err := p.proxier.Sync(p.now, state, p.host, kubeproxy.Options{ForceFull: s.ForceFull})
		if err != nil {
			return rec, err
		}
		rec.Sync = string(done.Kind)
		if !first && s.Restart == "" && (len(s.Apply) > 0 || len(s.Delete) > 0 || s.Topology != nil) {
			rec.EventsAskedForSync = &done.Asked
		}
		done.Ops = append(work.Ops, done.Ops...)
		done.Failed = append(work.Failed, done.Failed...)
		done.Log = append(work.Log, done.Log...)
		work = done
	}
	rec.Log, rec.Work = append(rec.Log, work.Log...), workOf(work)
	rec.Conntrack = p.conntrack(before, max(work.Dumps, 0))
	if g, ok := p.proxier.(kubeproxy.Graceful); ok {
		rec.Terminating = g.Terminating()
	}
	rec.State = textOf(p.text())
	return rec, nil
}

// checks runs the checks of graceful termination that fell due since the step before.
func (p *player) checks(g kubeproxy.Graceful, rec *StepRecord) {
	for g.NextCheck() <= p.now {
		at := g.NextCheck()
		r := g.Check(at, p.host)
		if calls := workOf(r).Calls; len(calls) > 0 {
			rec.GracefulChecks = append(rec.GracefulChecks, Check{AtSeconds: at.Seconds(), Calls: calls})
		}
	}
}

// start begins a process in the player's mode.
func (p *player) start(s service.State) (kubeproxy.Result, error) {
	proxier, err := kubeproxy.New(p.mode, packet.IPv4, s, datapath.DefaultProfile())
	if err != nil {
		return kubeproxy.Result{}, err
	}
	p.proxier = proxier
	return proxier.Start(p.host), nil
}

// cleanup removes what the modes left behind, whether they ran on the node or not.
func (p *player) cleanup(modes []service.Mode, rec *StepRecord) (kubeproxy.Result, error) {
	all := kubeproxy.Result{Dumps: -1, Commands: kubeproxy.Counts{}}
	for _, m := range modes {
		rec.CleanedUp = append(rec.CleanedUp, string(m))
		r, err := kubeproxy.Cleanup(m, []packet.Family{packet.IPv4}, p.host)
		if err != nil {
			return all, err
		}
		if r.Err != nil {
			rec.CleanupFailed = append(rec.CleanupFailed, string(m))
		}
		all.Ops = append(all.Ops, r.Ops...)
		all.Failed = append(all.Failed, r.Failed...)
		all.Log = append(all.Log, r.Log...)
		for c, n := range r.Commands {
			all.Commands[c] += n
		}
	}
	return all, nil
}

func (p *player) change(s *Step) error {
	if len(s.Apply) > 0 {
		if err := p.objects.Apply(s.Apply...); err != nil {
			return err
		}
	}
	for _, d := range s.Delete {
		if !p.objects.Delete(d.Kind, d.Namespace, d.Name) {
			return errors.New("there is no " + d.Kind + " " + d.Namespace + "/" + d.Name + " to delete")
		}
	}
	if s.Topology != nil {
		p.topology = s.Topology
	}
	return nil
}

// state is what kube-proxy knows of the objects as they are now. The first time, it decides the mode.
func (p *player) state() (service.State, error) {
	s, _, err := p.objects.State(input.NodeOptions{Mode: p.mode})
	if err != nil {
		return s, err
	}
	p.mode = s.Config.Mode
	if p.topology != nil {
		labels := maps.Clone(p.topology)
		for k, v := range s.Node.Labels {
			if !strings.HasPrefix(k, "topology.kubernetes.io/") {
				labels[k] = v
			}
		}
		s.Node.Labels = labels
	}
	return s, nil
}

// workOf sorts a result's operations by kind.
func workOf(r kubeproxy.Result) Work {
	w := Work{Commands: r.Commands}
	for i, op := range r.Ops {
		switch op := op.(type) {
		case datapath.IPTablesRestore:
			w.IPTablesRestore = append(w.IPTablesRestore, restoreOf(op.Text, r.Failed[i]))
		case datapath.NFTRun:
			w.NFT = append(w.NFT, transactionOf(op.Text, r.Failed[i]))
		case datapath.ConntrackDelete, datapath.Sysctl:
		default:
			c := op.Command()
			w.Calls = append(w.Calls, c)
			w.CallCount++
			w.CallKinds = bump(w.CallKinds, callKind(c))
		}
	}
	sortCalls(w.Calls)
	return w
}

// conntrack compares the flow table with what it was before the step; nil where there is nothing to tell.
func (p *player) conntrack(before []kubeproxy.Flow, dumps int) *Conntrack {
	c := &Conntrack{Dumps: dumps}
	for _, f := range before {
		if !slices.Contains(p.host.Flows, f) {
			c.Deleted = append(c.Deleted, entryOf(f))
		}
	}
	slices.SortFunc(c.Deleted, func(a, b Entry) int {
		return strings.Compare(a.Proto+" "+a.Src+" "+a.Dst, b.Proto+" "+b.Src+" "+b.Dst)
	})
	for _, f := range p.host.Flows {
		c.Left = append(c.Left, entryOf(f))
	}
	if dumps == 0 && len(before) == 0 {
		return nil
	}
	return c
}

// text prints the node's tables.
func (p *player) text() string {
	switch {
	case p.switches:
		return p.host.IPVSText(packet.IPv4, iptables.Native) + "# nft\n" + p.host.NFTText(packet.IPv4, iptables.Native)
	case p.mode == service.ModeNFTables:
		return p.host.NFTText(packet.IPv4, iptables.Native)
	case p.mode == service.ModeIPVS:
		return p.host.IPVSText(packet.IPv4, iptables.Native)
	}
	return p.host.Rules(packet.IPv4).PrintNormalised(iptables.Native)
}
