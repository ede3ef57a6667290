package run

import (
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/measure"
	"github.com/svclab/svclab/sim/replay"
	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/scenario"
	"github.com/svclab/svclab/sim/seed"
	"github.com/svclab/svclab/sim/traffic"
	"github.com/svclab/svclab/sim/vtime"
)

// ScenarioOptions say how a scenario is run, beside what it says itself.
type ScenarioOptions struct {
	World    string                  // of Worlds; "" for the one that the scenario names, else replay
	Seed     *uint64                 // in place of the scenario's
	Progress func(done, total int64) // told now and then; nil for nobody
	Only     Only                    // part of the traffic
	Rerun    int                     // 0 for the first run, i for the i-th after a FAIL: it gets a smaller risk
	Capture  *Capture                // told of every packet; nil for none

	kernel  *datapath.Profile                                      // in place of the scenario's profile
	applied func(datapath.Op)                                      // told of every operation that changed the node; nil for nobody
	seen    func(group int, c measure.Connection, r replay.Result) // told of every connection; nil for nobody
}

// Worlds lists the worlds a scenario can be run in.
func Worlds() []string { return []string{WorldReplay, WorldNetstack} }

// Scenario runs a scenario and judges its checks. When the context ends first, the report holds what was seen so far and the
// error is the context's.
func Scenario(ctx context.Context, sc *scenario.Scenario, files fs.FS, o ScenarioOptions) (*report.Report, error) {
	if o.World != "" && !slices.Contains(Worlds(), o.World) {
		return nil, &UnknownError{What: "world", Name: o.World, Nearest: Worlds()}
	}
	if o.World == "" {
		o.World = sc.Metadata.World
	}
	e, err := prepare(sc, files, o)
	if err != nil {
		return nil, err
	}
	stopped := e.run(ctx)
	e.endLookups()
	e.world.end()
	if e.fault != nil {
		return nil, e.fault
	}
	r, err := e.report()
	if err != nil {
		return nil, err
	}
	if stopped != nil {
		r.Warnings = append(r.Warnings, fmt.Sprintf("stopped after %d of %d connections", e.done, e.total))
	}
	return r, stopped
}

// Validate finds what is wrong with a scenario without running it.
func Validate(sc *scenario.Scenario, files fs.FS) error {
	e, err := prepare(sc, files, ScenarioOptions{World: sc.Metadata.World})
	if err == nil {
		e.world.end()
	}
	return err
}

// engine is one run.
type engine struct {
	world    world
	scenario *scenario.Scenario
	options  ScenarioOptions
	seed     uint64
	subject  *Subject // of the first node
	sites    []*site
	api      apiState
	groups   []traffic.Group
	plans    []*plan     // one a group
	watch    []*observer // one a group
	pending  vtime.Queue[action]
	sequence int             // of the last action that was planned
	known    map[target]bool // endpoints that are or were there: true while they are
	dead     map[netip.Addr]bool
	cidrs    map[string][]netip.Prefix // by node
	names    []string                  // of all nodes
	source   drawing
	racing   *seed.Keyed // of datagrams that two processors take up at once
	naming   *naming     // nil when nothing goes to a name
	follow   follower
	fault    error // that ends the run
	done     int64
	total    int64
	drained  bool  // no connection of the traffic is to come
	extra    int64 // connections beyond those that the traffic plans

	syncDelay *measure.Trend
	syncs     *measure.Counter
	moments   []report.Moment
	given     []service.EndpointSlice // as the objects hold them: what events of endpoints change is not in it
}

// action is something that happens besides a new connection: an event, or a connection's end.
type action func(now time.Duration) error

type target struct {
	at    netip.AddrPort
	proto packet.Protocol
}

func prepare(sc *scenario.Scenario, files fs.FS, o ScenarioOptions) (*engine, error) {
	e := &engine{
		scenario: sc, options: o, seed: sc.Spec.Seed, known: map[target]bool{}, dead: map[netip.Addr]bool{}, cidrs: map[string][]netip.Prefix{},
		syncDelay: measure.NewDurations("sync_delay"), syncs: measure.NewCounter("syncs"),
	}
	if o.Seed != nil {
		e.seed = *o.Seed
	}
	var err error
	if e.subject, err = subjectOf(sc, files, o); err != nil {
		return nil, err
	}
	e.api = apiState{e.subject.State.Services, e.subject.State.Slices}
	e.given = e.api.slices
	if err := e.makeNames(); err != nil {
		return nil, err
	}
	if e.groups, err = e.subject.groups(sc); err != nil {
		return nil, err
	}
	for i := range e.groups {
		if t := &sc.Spec.Traffic[i]; t.To.Name.Value != "" {
			a, err := e.named(t, packet.FamilyOf(e.groups[i].To.Addr()))
			if err != nil {
				return nil, err
			}
			e.groups[i].To = netip.AddrPortFrom(a, t.To.Port.Number)
		}
	}
	e.source.keyed = seed.Root(e.seed).Keyed("picks")
	e.racing = seed.Root(e.seed).Keyed("together")
	e.world = replayWorld{e}
	if err := e.makeSites(); err != nil {
		return nil, err
	}
	if err := o.Only.check(e.groups); err != nil {
		return nil, err
	}
	e.learn()
	for i := range e.groups {
		p, err := e.planOf(&sc.Spec.Traffic[i], &e.groups[i])
		if err != nil {
			return nil, err
		}
		e.plans = append(e.plans, p)
		e.total += o.Only.count(&e.groups[i])
		e.watch = append(e.watch, newObserver(&e.groups[i], p, len(e.sites)))
	}
	for i := range sc.Spec.Events {
		ev := &sc.Spec.Events[i]
		if e.subject.IsDump() {
			return nil, sc.Errorf(ev.Pos, "a node loaded from a dump has no endpoints that could change")
		}
		if err := e.checkEvent(ev); err != nil {
			return nil, err
		}
		e.pending.Add(e.key(ev.At.Duration), func(now time.Duration) error { return e.event(now, ev) })
	}
	e.rebalance(0)
	for _, st := range e.sites {
		e.planCheck(st)
	}
	if err := e.newEpoch(0, nil); err != nil {
		return nil, err
	}
	if err := e.checkChecks(); err != nil {
		return nil, err
	}
	if o.World == WorldNetstack {
		if e.world, err = newStackWorld(e); err != nil {
			return nil, err
		}
	}
	e.subject.Warnings = append(e.subject.Warnings, e.leftOut()...)
	return e, nil
}

// key places an action that belongs to no connection.
func (e *engine) key(at time.Duration) vtime.Key { return e.keyOf(at, -1) }

// keyOf places an action of a connection.
func (e *engine) keyOf(at time.Duration, flow int64) vtime.Key {
	e.sequence++
	return vtime.Key{At: at, Flow: flow, Sequence: e.sequence}
}

// run opens every connection in the order of time, with events and ends of connections in between.
func (e *engine) run(ctx context.Context) error {
	steps := 0
	due := func() error {
		if steps++; steps&0x3ff != 1 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if e.options.Progress != nil {
			e.options.Progress(e.done, e.total)
		}
		return nil
	}
	for f := range e.options.Only.of(e.groups, traffic.Flows(seed.Root(e.seed), e.groups)) {
		if err := due(); err != nil {
			return err
		}
		if err := e.catchUp(f.At, due); err != nil {
			return err
		}
		if err := e.world.advance(f.At); err != nil {
			return err
		}
		e.arrive(f)
		e.done++
	}
	e.drained = true
	return e.catchUp(1<<63-1, due)
}

// catchUp does what is due up to and including a moment: changes of state come before connections of the same moment.
func (e *engine) catchUp(to time.Duration, due func() error) error {
	for {
		at, ok := e.pending.Peek()
		next, busy := e.world.next()
		if busy = busy && next <= to && (!ok || next <= at); !busy && (!ok || at > to) {
			return nil
		}
		if err := due(); err != nil {
			return err
		}
		if busy {
			if err := e.world.advance(next); err != nil {
				return err
			}
			continue
		}
		if err := e.world.advance(at); err != nil {
			return err
		}
		k, do, _ := e.pending.Next()
		if err := do(k.At); err != nil {
			return err
		}
		if e.fault != nil {
			return e.fault
		}
	}
}

// newEpoch asks for the exact shares that new connections have from now on, at one node or, with nil, at all.
func (e *engine) newEpoch(now time.Duration, at *site) error {
	for _, w := range e.watch {
		if err := w.epoch(e.sites, at, now); err != nil {
			return err
		}
	}
	for _, st := range e.sites {
		st.Node.SetSource(&e.source)
	}
	return nil
}

func (e *engine) observerOf(name string) *observer {
	for i := range e.groups {
		if e.groups[i].Name == name {
			return e.watch[i]
		}
	}
	panic("run: a check of a traffic that does not exist passed the reader: " + name)
}

func affects(ev *scenario.EndpointEvent, of service.Name, x service.Endpoint) bool {
	if ev.Service != "" && ev.Service != of.String() {
		return false
	}
	for _, a := range x.Addresses {
		if a == ev.Address.Addr {
			return true
		}
	}
	return false
}
