package kernel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"sort"
	"sync"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/box"
)

// Vehicle is what brings a kernel.
type Vehicle string

// The vehicles. Auto takes Netns with the privilege for it, and Rootless otherwise.
const (
	VehicleAuto     Vehicle = "auto"
	VehicleRootless Vehicle = "rootless" // the host's kernel, in a user namespace
	VehicleNetns    Vehicle = "netns"    // the host's kernel, as root
	VehicleUML      Vehicle = "uml"      // a kernel of its own: User Mode Linux, without privilege
)

// Config says what to start.
type Config struct {
	Vehicle  Vehicle          // "" means VehicleAuto
	Variant  datapath.Variant // "" means datapath.Legacy
	Topology Topology
}

// vehicle is a kernel that an agent answers from. A box is one; a kernel of its own would be another, reached over a console.
type vehicle interface {
	Call(ctx context.Context, method string, arg, reply any) error
	Stream(ctx context.Context, method string, arg any, each func(decode func(any) error) error) error
	Close() error
}

// Kernel is a running kernel world. Apply, SetBackends and Run are called one at a time; what only looks may be called meanwhile.
type Kernel struct {
	v       vehicle
	name    Vehicle
	variant datapath.Variant
	chunked bool
	version Version

	mu    sync.Mutex
	top   Topology
	ports *ports
	notes []Note
}

// callTimeout bounds calls that run no traffic and load no rules.
const callTimeout = 30 * time.Second

// Start brings a kernel up with its namespaces and backends, and no rules. When ctx ends, everything ends. An error is a
// box.MissingError where the machine lacks something.
func Start(ctx context.Context, c Config) (*Kernel, error) {
	if c.Variant == "" {
		c.Variant = datapath.Legacy
	}
	if err := c.Topology.check(); err != nil {
		return nil, err
	}
	k := &Kernel{name: c.Vehicle, variant: c.Variant, top: c.Topology, ports: newPorts(time.Now)}
	user := box.Own
	var uml *box.UML
	switch c.Vehicle {
	case VehicleRootless:
	case VehicleUML:
		if c.Variant == datapath.NFT {
			return nil, &box.MissingError{
				What: "iptables-nft in uml", Reason: box.NoKernelFeature, Err: errors.New("its kernel has no nft_nat"),
				Mend: "use --variant legacy, or --kernel rootless",
			}
		}
		user, uml = box.Auto, &box.UML{}
	case VehicleNetns:
		user = box.Shared
	case "", VehicleAuto:
		k.name = VehicleRootless
		if box.Privileged() {
			k.name, user = VehicleNetns, box.Shared
		}
	default:
		return nil, fmt.Errorf("no vehicle %q: auto, rootless, netns and uml are known", c.Vehicle)
	}
	k.chunked = c.Variant == datapath.NFT && user == box.Own
	b, err := box.Start(ctx, box.Config{Role: role, User: user, UML: uml})
	if err != nil {
		return nil, err
	}
	k.v = b
	if err := k.call(ctx, "setup", setupRequest{Topology: c.Topology}, nil); err != nil {
		k.Close()
		return nil, err
	}
	if err := k.call(ctx, "version", inspectRequest{Family: packet.IPv4, Variant: c.Variant}, &k.version); err != nil {
		k.Close()
		return nil, err
	}
	return k, nil
}

func (k *Kernel) call(ctx context.Context, method string, arg, reply any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return k.v.Call(ctx, method, arg, reply)
}

// Close ends the kernel world; nothing of it is left when it returns.
func (k *Kernel) Close() error { return k.v.Close() }

// Reset gives the kernel another topology, without rules: new namespaces in place of the old ones. A kernel of its own, which takes
// seconds to come up, serves one after another.
func (k *Kernel) Reset(ctx context.Context, t Topology) error {
	if err := t.check(); err != nil {
		return err
	}
	if err := k.call(ctx, "setup", setupRequest{Topology: t}, nil); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.top, k.ports, k.notes = t, newPorts(time.Now), nil
	return nil
}

// Vehicle is what brought the kernel; never VehicleAuto.
func (k *Kernel) Vehicle() Vehicle { return k.name }

// Version tells the kernel's release and the tools'.
func (k *Kernel) Version() Version { return k.version }

// Notes are what Apply could not do to the letter since Start: a sysctl that namespaces may not set.
func (k *Kernel) Notes() []Note {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]Note(nil), k.notes...)
}

// Apply carries out operations in order, and stops at the first that fails, with a datapath.OpError.
func (k *Kernel) Apply(ctx context.Context, ops []datapath.Op) error {
	list, err := steps(ops, k.variant, k.chunked)
	if err != nil {
		return err
	}
	var a applyAnswer
	a.Failed = -1
	err = k.v.Stream(ctx, "apply", applyRequest{Steps: list}, func(decode func(any) error) error { return decode(&a) })
	k.mu.Lock()
	k.notes = append(k.notes, a.Notes...)
	k.mu.Unlock()
	if err != nil && a.Failed >= 0 && a.Failed < len(ops) {
		return &datapath.OpError{Index: a.Failed, Op: ops[a.Failed], Err: err}
	}
	return err
}

// SetBackends replaces the sockets that answer. Connections that are open stay.
func (k *Kernel) SetBackends(ctx context.Context, b []Backend) error {
	for _, one := range b {
		if err := one.check(); err != nil {
			return err
		}
	}
	if err := k.call(ctx, "backends", b, nil); err != nil {
		return err
	}
	k.top.Backends = b
	return nil
}

// Run sends flows, in order as workers become free. When ctx ends it returns at once, with what is known so far, Partial set,
// and the context's error.
func (k *Kernel) Run(ctx context.Context, flows []Flow, o RunOptions) (*Log, error) {
	if o.Workers <= 0 {
		o.Workers = 16
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	sent, err := k.prepare(flows, o.Reuse)
	if err != nil {
		return nil, err
	}
	log := &Log{Outcomes: make([]Outcome, 0, len(sent)), Partial: true}
	err = k.v.Stream(ctx, "run", runRequest{Flows: sent, Workers: o.Workers, Timeout: o.Timeout}, func(decode func(any) error) error {
		var a runAnswer
		if err := decode(&a); err != nil {
			return err
		}
		log.Outcomes = append(log.Outcomes, a.Outcomes...)
		if a.End {
			log.Retransmits, log.Elapsed, log.Partial = a.Retransmits, a.Elapsed, len(log.Outcomes) != len(sent)
		}
		if o.Progress != nil {
			o.Progress(len(log.Outcomes))
		}
		return nil
	})
	sort.Slice(log.Outcomes, func(i, j int) bool { return log.Outcomes[i].Sequence < log.Outcomes[j].Sequence })
	return log, err
}

// prepare checks flows and gives them source ports.
func (k *Kernel) prepare(flows []Flow, reuse bool) ([]Flow, error) {
	sent := make([]Flow, len(flows))
	for i, f := range flows {
		src, dst := f.Src.Addr(), f.Dst.Addr()
		switch {
		case f.Proto != packet.TCP && f.Proto != packet.UDP:
			return nil, &FlowError{ID: f.ID, Why: "protocol " + f.Proto.String() + " has no client here"}
		case !src.IsValid() || !dst.IsValid() || packet.FamilyOf(src) != packet.FamilyOf(dst):
			return nil, &FlowError{ID: f.ID, Why: fmt.Sprintf("%q and %q are not addresses of one family", src, dst)}
		case src.Is4In6() || dst.Is4In6() || src.Zone() != "" || dst.Zone() != "" || src.IsUnspecified() || src.IsMulticast():
			return nil, &FlowError{ID: f.ID, Why: fmt.Sprintf("%q to %q cannot be sent", src, dst)}
		case f.Dst.Port() == 0:
			return nil, &FlowError{ID: f.ID, Why: "destination port 0"}
		case f.At < 0 || f.Hold < 0:
			return nil, &FlowError{ID: f.ID, Why: "a negative time"}
		}
		port, err := k.ports.take(&f)
		var used *PortReusedError
		if reuse && errors.As(err, &used) {
			port, err = f.Src.Port(), nil
		}
		if err != nil {
			return nil, err
		}
		f.Src = netip.AddrPortFrom(src, port)
		sent[i] = f
	}
	return sent, nil
}

// Dump is what iptables-save -c prints for a family.
func (k *Kernel) Dump(ctx context.Context, f packet.Family) (string, error) {
	var text string
	err := k.call(ctx, "dump", inspectRequest{Family: f, Variant: k.variant}, &text)
	return text, err
}

// DumpSets is what ipset save prints.
func (k *Kernel) DumpSets(ctx context.Context) (string, error) {
	var text string
	err := k.call(ctx, "sets", nil, &text)
	return text, err
}

// Counters lists one chain with the packets and bytes of its policy and each rule.
func (k *Kernel) Counters(ctx context.Context, f packet.Family, table, chain string) ([]RuleCounter, error) {
	var out []RuleCounter
	err := k.call(ctx, "counters", inspectRequest{Family: f, Variant: k.variant, Table: table, Chain: chain}, &out)
	return out, err
}

// Conntrack lists the node's connections of a family.
func (k *Kernel) Conntrack(ctx context.Context, f packet.Family) ([]box.ConntrackEntry, error) {
	var out []box.ConntrackEntry
	err := k.call(ctx, "conntrack", inspectRequest{Family: f}, &out)
	return out, err
}

// DumpIPVS is the node's IPVS as the kernel tells it, servers in the kernel's list order. The error is a box.MissingError where it
// has none.
func (k *Kernel) DumpIPVS(ctx context.Context) (*ipvs.Dump, error) {
	var d ipvs.Dump
	if err := k.call(ctx, "ipvs", nil, &d); err != nil {
		return nil, err
	}
	return &d, nil
}

// Choose is the vehicle that auto stands for when a kernel is to be loaded with operations: IPVS needs a host that has it and
// the privilege to program it, or a kernel of its own.
func Choose(ops []datapath.Op) Vehicle {
	for _, op := range ops {
		_, command := ipvsOf(op)
		_, timeouts := op.(datapath.IPVSTimeouts)
		if !command && !timeouts {
			continue
		}
		if box.Privileged() && hostIPVS() {
			return VehicleNetns
		}
		return VehicleUML
	}
	return VehicleAuto
}

// hostIPVS reports whether the host's kernel has IPVS loaded.
func hostIPVS() bool {
	_, err := os.Stat("/proc/net/ip_vs")
	return err == nil
}

// VehicleStatus is one line of `svclab doctor`.
type VehicleStatus struct {
	Vehicle Vehicle
	Variant datapath.Variant
	Works   bool
	Version Version           // when it works
	Missing *box.MissingError // when it does not: why, and what mends it
}

// Probe tries every vehicle and variant for real, with an empty topology, and says what works here.
func Probe(ctx context.Context) []VehicleStatus {
	var out []VehicleStatus
	for _, v := range []Vehicle{VehicleRootless, VehicleNetns} {
		for _, variant := range []datapath.Variant{datapath.Legacy, datapath.NFT} {
			out = append(out, probe(ctx, v, variant))
		}
	}
	return append(out, probe(ctx, VehicleUML, datapath.Legacy))
}

func probe(ctx context.Context, v Vehicle, variant datapath.Variant) VehicleStatus {
	s := VehicleStatus{Vehicle: v, Variant: variant}
	ctx, cancel := context.WithTimeout(ctx, 4*callTimeout)
	defer cancel()
	if v == VehicleNetns && runtime.GOOS == "linux" && !box.Privileged() {
		s.Missing = &box.MissingError{What: string(v), Reason: box.NamespaceRefused, Mend: "run it as root, or use --kernel rootless"}
		return s
	}
	k, err := Start(ctx, Config{Vehicle: v, Variant: variant})
	if err == nil {
		defer k.Close()
		for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
			if err == nil {
				err = k.Apply(ctx, []datapath.Op{datapath.IPTablesRestore{Family: f, Text: probeRules}})
			}
		}
		if err == nil && v == VehicleUML {
			_, err = k.DumpIPVS(ctx)
		}
	}
	if err == nil {
		s.Works, s.Version = true, k.Version()
		return s
	}
	if !errors.As(err, &s.Missing) {
		s.Missing = &box.MissingError{What: string(v), Reason: box.NoKernelFeature, Err: err}
	}
	return s
}

// probeRules use every match and target without which no kube-proxy ruleset loads.
const probeRules = `*nat
:SVCLAB - [0:0]
-A SVCLAB -m comment --comment probe -m statistic --mode random --probability 0.5 -j MARK --or-mark 0x4000
-A SVCLAB -m addrtype --dst-type LOCAL -m mark --mark 0x4000/0x4000 -j RETURN
-A SVCLAB -m recent --name PROBE --rcheck --seconds 10 --reap -j RETURN
-A POSTROUTING -j MASQUERADE --random-fully
COMMIT
*filter
:SVCLAB - [0:0]
-A SVCLAB -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT
-A SVCLAB -j REJECT
COMMIT
`
