package run

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/box"
	"github.com/svclab/svclab/sim/kernel"
	"github.com/svclab/svclab/sim/measure"
	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/scenario"
	"github.com/svclab/svclab/sim/seed"
	"github.com/svclab/svclab/sim/traffic"
)

// CompareOptions say which kernel a scenario is compared with, and how.
type CompareOptions struct {
	Vehicle  kernel.Vehicle   // "" for auto
	Variant  datapath.Variant // of iptables; "" for legacy
	Seed     *uint64          // in place of the scenario's
	Rerun    int              // 0 for the first run, i for the i-th after a FAIL: it gets a smaller risk
	Only     Only             // part of the traffic
	Progress func(done, total int64)
	// Patience is how long a scenario may take whose timeouts matter: one that lasts longer is not run in its own time. 0 means
	// DefaultPatience.
	Patience time.Duration

	seen   func(*kernel.Log)                        // told of every log, its times counted from the kernel's start
	plant  func(datapath.Op) datapath.Op            // for tests: what the kernel is loaded with in place of an operation
	blind  bool                                     // for tests: rules and counters are not compared
	loaded func(*Subject, kernel.Topology)          // told what the kernel is loaded with, before it starts
	dumped func(*comparison, packet.Family, string) // told of the kernel's rules at the end
	// start is what brings the kernel, for tests of many scenarios in one; nil for kernel.Start, and it is closed in the end.
	start func(context.Context, kernel.Config) (*kernel.Kernel, error)
}

// DefaultPatience is the longest time for which connections are opened in the scenario's own time.
const DefaultPatience = time.Minute

// Vehicles lists what can be asked for.
func Vehicles() []string {
	return []string{string(kernel.VehicleAuto), string(kernel.VehicleRootless), string(kernel.VehicleNetns), string(kernel.VehicleUML)}
}

// comparison is one run of a scenario on a kernel with the model beside it.
type comparison struct {
	*engine
	opt      CompareOptions
	files    fs.FS
	variant  datapath.Variant
	ops      []datapath.Op // not yet given to the kernel
	kernel   *kernel.Kernel
	top      kernel.Topology
	begun    time.Time     // when the kernel's rules were there
	shift    time.Duration // how far the model's clock is ahead of the kernel's
	serial   bool          // what one connection meets depends on those before it: one at a time
	hurried  bool          // time would matter, but there is not so much of it
	ageing   ageing        // of IPVS
	aged     bool          // the model's entries have aged and the kernel's have not
	paced    bool          // time matters: connections start when the scenario says
	watchers []*witness
	last     map[client]measure.Outcome // how each client's last connection ended
	forcer   kernel.Forcer
	// inexact is why packet counters say nothing, "" when they do.
	inexact string
	opened  int64
}

// Compare runs a scenario's traffic on a real kernel that is loaded with the very operations the model is loaded with, and judges
// whether the two agree: the kernel's shares against the exact fractions, every connection against what the model says can become
// of it, the rules that the kernel gives back, and every packet counter after the model has been forced to the kernel's picks. The
// scenario's own checks are not judged: they ask whether the rules are good, and this asks whether the model is right.
//
// Where no kernel could run, the report says NOT-COMPARED and the error is a box.MissingError. When the context ends first, the
// report holds what was seen so far and the error is the context's.
func Compare(ctx context.Context, sc *scenario.Scenario, files fs.FS, o CompareOptions) (*report.Report, error) {
	c := &comparison{opt: o, variant: o.Variant}
	if c.variant == "" {
		c.variant = datapath.Legacy
	}
	if err := c.model(sc, files, box.KernelRelease()); err != nil {
		if m, missing := box.Missing(err); missing {
			return notCompared(sc, o, c.variant, m), m
		}
		var walked *datapath.NotWalkedError
		if errors.As(err, &walked) { // the kernel could, the model cannot
			m := &box.MissingError{What: "compare", Reason: notModelled, Err: err}
			return notCompared(sc, o, c.variant, m), m
		}
		return nil, err
	}
	stopped := c.perform(ctx)
	if c.kernel != nil && o.start == nil {
		defer c.kernel.Close()
	}
	if m, missing := box.Missing(stopped); missing {
		return notCompared(sc, o, c.variant, m), stopped
	}
	if stopped != nil && ctx.Err() == nil {
		return nil, stopped
	}
	if stopped != nil {
		stopped = ctx.Err()
	}
	if c.kernel == nil {
		return notCompared(sc, o, c.variant, errors.New("interrupted before it was there")), stopped
	}
	return c.verdicts(ctx), stopped
}

// model loads the model as a kernel of a release would be.
func (c *comparison) model(sc *scenario.Scenario, files fs.FS, release string) error {
	c.ops, c.watchers, c.files, c.last = nil, nil, files, map[client]measure.Outcome{}
	profile := kernelProfile(release, c.variant)
	e, err := prepare(sc, files, ScenarioOptions{
		Seed: c.opt.Seed, Only: c.opt.Only, Progress: c.opt.Progress, kernel: &profile,
		applied: func(op datapath.Op) { c.ops = append(c.ops, op) },
	})
	if err != nil {
		return err
	}
	c.engine = e
	if n := len(e.sites); n > 1 {
		return &box.MissingError{What: "compare", Reason: severalNodes, Err: fmt.Errorf("the scenario models %d", n)}
	}
	return c.network()
}

// Why a kernel has nothing to be compared with.
const (
	notModelled  box.Reason = "the model does not walk these rules"
	severalNodes box.Reason = "a kernel world has one node with rules"
)

// notCompared is the report of a run for which there was no kernel.
func notCompared(sc *scenario.Scenario, o CompareOptions, v datapath.Variant, why error) *report.Report {
	r := &report.Report{
		SchemaVersion: report.SchemaVersion, Kind: "Report", Scenario: sc.Metadata.Name, Seed: sc.Spec.Seed, World: "kernel",
		Verdict: report.NotCompared, Checks: []report.Check{}, Traffic: []report.Traffic{},
		Warnings: []string{"no kernel was compared: " + why.Error()},
	}
	if o.Seed != nil {
		r.Seed = *o.Seed
	}
	for _, t := range sc.Spec.Traffic {
		r.Checks = append(r.Checks, report.Check{
			Name: t.Name, Service: t.To.Service.Value, Verdict: report.NotCompared, Reason: why.Error(), Line: t.At.Line,
			Reproduce: reproduce(sc, "compare", r.Seed, o, Only{Traffic: t.Name, Last: -1}),
		})
	}
	return r
}

// network derives what stands around the node, and whether order and time matter.
func (c *comparison) network() error {
	s := c.subject
	c.top = kernel.TopologyOf(s.Host, &s.State)
	c.serial = len(s.Node.IPVS.Services()) > 0
	for i := range c.groups {
		w, err := c.newWitness(i)
		if err != nil {
			return err
		}
		c.watchers = append(c.watchers, w)
	}
	var span time.Duration
	for _, g := range c.groups {
		span = max(span, g.Start+time.Duration(g.Connections)*g.Gap)
	}
	for _, f := range families {
		serial, window := memory(s.Node.Rules(f))
		c.serial = c.serial || serial
		c.paced = c.paced || window > 0 && window/2 < span // a timeout that is too short should show, too
	}
	if patience := cmp.Or(c.opt.Patience, DefaultPatience); c.paced && span > patience {
		c.paced, c.hurried = false, true
	}
	if c.opt.loaded != nil {
		c.opt.loaded(s, c.top)
	}
	return nil
}

// kernelProfile is the model's profile of a kernel that runs here.
func kernelProfile(release string, v datapath.Variant) datapath.Profile {
	var major, minor int
	_, _ = fmt.Sscanf(release, "%d.%d", &major, &minor)
	p := datapath.DefaultProfile()
	short := fmt.Sprintf("%d.%d", major, minor)
	for _, known := range profiles {
		if known.Kernel == short && known.IPTables == v {
			p = known
		}
	}
	p.Name, p.Kernel, p.IPTables = "linux-"+short, short, v
	p.TimeWaitReuse = major > 6 || major == 6 && minor > 1
	return p
}

// perform starts the kernel and opens every connection, stretch by stretch between events.
func (c *comparison) perform(ctx context.Context) error {
	vehicle := c.opt.Vehicle
	if vehicle == "" || vehicle == kernel.VehicleAuto {
		ops := c.ops
		for i := range c.scenario.Spec.Events {
			if p := c.scenario.Spec.Events[i].ProxyConfig; p != nil && (p.Mode == string(service.ModeIPVS) || bytes.Contains(p.Config.YAML, []byte("ipvs"))) {
				ops = append(ops[:len(ops):len(ops)], datapath.IPVSFlush{})
			}
		}
		vehicle = kernel.Choose(ops)
	}
	start := c.opt.start
	if start == nil {
		start = kernel.Start
	}
	k, err := start(ctx, kernel.Config{Vehicle: vehicle, Variant: c.variant, Topology: c.top})
	if err != nil {
		return err
	}
	c.kernel = k
	if r := k.Version().Release; kernelProfile(r, c.variant) != c.subject.Node.Profile { // a kernel of its own
		if err := c.model(c.scenario, c.files, r); err != nil {
			return err
		}
	}
	if err := c.load(ctx); err != nil {
		return err
	}
	c.begun = time.Now()
	c.ageing = ageing{times: entryTimes(c.subject.Node.IPVS), rest: c.begun, ahead: map[time.Duration]time.Duration{}}
	c.forcer = kernel.Forcer{Node: c.subject.Node, Host: c.subject.Host, Listens: c.listens}
	stretch := newStretch(c)
	for f := range c.flows() {
		for {
			at, due := c.pending.Peek()
			if !due || at > f.At {
				break
			}
			if err := stretch.finish(ctx, at); err != nil {
				return err
			}
		}
		if err := stretch.add(ctx, f); err != nil {
			return err
		}
	}
	for {
		at, due := c.pending.Peek()
		if !due {
			return stretch.end(ctx)
		}
		if err := stretch.finish(ctx, at); err != nil {
			return err
		}
	}
}

// load gives the kernel the operations that the model has had since it was loaded last.
func (c *comparison) load(ctx context.Context) error {
	ops := c.ops
	if c.ops = nil; len(ops) == 0 {
		return nil
	}
	if c.opt.plant != nil {
		for i, op := range ops {
			ops[i] = c.opt.plant(op)
		}
	}
	if err := c.kernel.Apply(ctx, ops); err != nil {
		return err
	}
	if n := c.kernel.Notes(); len(n) > 0 && c.scenario.Spec.Kernel != nil {
		for _, n := range n {
			for _, set := range c.scenario.Spec.Kernel.Sysctls {
				if key, _, _ := strings.Cut(set.Value, "="); strings.Contains(n.Op, strings.TrimSpace(key)) {
					return &box.MissingError{What: n.Op, Reason: box.NoKernelFeature, Err: errors.New(n.Text), Mend: "use a kernel of its own: --kernel uml"}
				}
			}
		}
	}
	return nil
}

// happen lets what is due change model and kernel at once. The model's clock jumps to its time, and goes on from there as fast as
// the kernel's: where the scenario is not paced, the kernel is spared the time in between.
func (c *comparison) happen(ctx context.Context, at time.Duration) error {
	if c.paced {
		if err := sleep(ctx, at-c.now()); err != nil {
			return err
		}
	}
	if !c.hurried { // lists of the kernel do not age so fast
		if err := c.age(ctx, max(0, at-c.now())); err != nil {
			return err
		}
		jump := max(0, at-c.now())
		c.shift += jump
		c.ageing.jumped(jump)
	}
	_, do, _ := c.pending.Next()
	if err := do(at); err != nil {
		return err
	}
	if err := c.load(ctx); err != nil {
		return err
	}
	if b := c.backends(); !slices.Equal(b, c.top.Backends) {
		if err := c.kernel.SetBackends(ctx, b); err != nil {
			return err
		}
		c.top.Backends = b
	}
	c.forcer.Node = c.subject.Node
	c.serial = c.serial || len(c.subject.Node.IPVS.Services()) > 0
	for _, w := range c.watchers {
		if err := c.epoch(w, at); err != nil {
			return err
		}
	}
	return nil
}

// now is the model's time.
func (c *comparison) now() time.Duration { return time.Since(c.begun) + c.shift }

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// backends are the sockets that answer at the moment: those of every endpoint that lives.
func (c *comparison) backends() []kernel.Backend {
	if c.subject.IsDump() {
		return c.top.Backends
	}
	s := c.subject.State
	s.Slices = c.api.slices
	return slices.DeleteFunc(kernel.TopologyOf(c.subject.Host, &s).Backends, func(b kernel.Backend) bool { return c.dead[b.Addr.Addr()] })
}

// flows are the connections to open, with their numbers.
func (c *comparison) flows() func(func(traffic.Flow) bool) {
	return c.options.Only.of(c.groups, traffic.Flows(seed.Root(c.seed), c.groups))
}

// listens reports whether a socket of the kernel's network answers there.
func (c *comparison) listens(at netip.AddrPort, proto packet.Protocol) bool {
	return slices.Contains(c.top.Backends, kernel.Backend{Proto: proto, Addr: at})
}
