package run

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/replay"
	"github.com/svclab/svclab/sim/scenario"
)

// site is one modelled node with the world around it, and where its kube-proxy stands.
//
// A packet walks the node that chooses the endpoint. The endpoint's own node, when it is another one, hands the packet to its Pod:
// no Service rule is about a Pod's address, so that walk is left out.
type site struct {
	*Subject
	index int
	world *replay.World

	lost     bool // it vanished: nothing that comes to it is answered
	detected bool // and balancers know

	checking bool // kube-proxy's next look at terminating servers is planned
	planned  bool // a sync is planned
	synced   time.Duration
	since    time.Duration // the oldest change that kube-proxy heard of and has not acted on
	stale    bool          // there is one
	down     bool          // kube-proxy is being restarted
	heard    apiState      // what kube-proxy knows of the API
}

// apiState is what the API holds.
type apiState struct {
	services []service.Service
	slices   []service.EndpointSlice
}

// sibling is another Node of the same objects, with a datapath of its own.
func (s *Subject) sibling(name string) (*Subject, error) {
	o := &Subject{Objects: s.Objects, options: s.options}
	o.options.Node, o.options.applied = name, nil
	if err := o.resolve(); err != nil {
		return nil, err
	}
	return o, o.start()
}

// makeSites makes the modelled nodes, the subject's first.
func (e *engine) makeSites() error {
	add := func(s *Subject) {
		st := &site{Subject: s, index: len(e.sites), heard: apiState{s.State.Services, s.State.Slices}}
		st.world = &replay.World{Host: s.Host, Node: s.Node, Presence: func(at netip.AddrPort, proto packet.Protocol) replay.Presence {
			return e.presence(st, at, proto)
		}}
		if s.IsDump() {
			st.world.Presence = replay.Everywhere
		}
		s.Node.SetSource(&e.source)
		if c := e.options.Capture; c != nil {
			c.attach(s)
		}
		e.sites = append(e.sites, st)
	}
	add(e.subject)
	if sp := &e.scenario.Spec; sp.AllNodes || sp.Cluster != nil {
		for _, n := range e.subject.Objects.Nodes() {
			if n.Name == e.subject.Host.Name {
				continue
			}
			s, err := e.subject.sibling(n.Name)
			if err != nil {
				return err
			}
			add(s)
		}
	}
	if k := e.scenario.Spec.Kernel; k != nil {
		for _, t := range k.Sysctls {
			name, value, ok := strings.Cut(t.Value, "=")
			if !ok {
				return e.scenario.Errorf(t.At, "%q is not name=value", t.Value)
			}
			for _, st := range e.sites {
				if err := st.host().Run(datapath.Sysctl{Key: strings.TrimSpace(name), Value: strings.TrimSpace(value)}); err != nil {
					return e.scenario.Errorf(t.At, "%v", err)
				}
			}
		}
	}
	for _, n := range e.sites[0].objectNodes() {
		e.cidrs[n.Name] = n.PodCIDRs
		e.names = append(e.names, n.Name)
	}
	return nil
}

// objectNodes are the Nodes of the objects, in their order.
func (s *Subject) objectNodes() (out []service.Node) {
	if s.Objects == nil {
		return nil
	}
	for _, n := range s.Objects.Nodes() {
		x := service.Node{Name: n.Name}
		for _, c := range append([]string{n.Spec.PodCIDR}, n.Spec.PodCIDRs...) {
			if p, err := netip.ParsePrefix(c); err == nil {
				x.PodCIDRs = append(x.PodCIDRs, p)
			}
		}
		out = append(out, x)
	}
	return out
}

// siteNamed finds a modelled node; nil for none.
func (e *engine) siteNamed(name string) *site {
	for _, st := range e.sites {
		if st.Host.Name == name {
			return st
		}
	}
	return nil
}

// siteOf is the modelled node that an address belongs to, as its own or as one of its Pods; nil for none.
func (e *engine) siteOf(a netip.Addr) *site {
	for _, st := range e.sites {
		if st.Host.IsNode(a) && !a.IsLoopback() || st.Host.IsLocalPod(a) {
			return st
		}
	}
	return nil
}

// isHostPort reports whether nodes themselves listen on a port.
func (e *engine) isHostPort(port uint16) bool {
	return slices.Contains(e.scenario.Spec.HostPorts, int(port))
}

// learn takes over which endpoints there are.
func (e *engine) learn() {
	for k := range e.known {
		e.known[k] = false
	}
	for _, sl := range e.api.slices {
		for _, p := range sl.Ports {
			for _, x := range sl.Endpoints {
				for _, a := range x.Addresses {
					e.known[target{netip.AddrPortFrom(a, p.Port), p.Protocol}] = true
				}
			}
		}
	}
}

// timing is how kube-proxy is told and syncs; nil when it does so at once.
func (e *engine) timing() *scenario.Proxy {
	if p := e.scenario.Spec.Proxy; p != nil && (p.WatchDelay.Duration > 0 || p.MinSync.Duration > 0) {
		return p
	}
	return nil
}

// tell lets every node's kube-proxy hear of the API as it is now.
func (e *engine) tell(now time.Duration) error {
	e.learn()
	if e.naming != nil {
		e.naming.stale = true
	}
	if err := e.world.alter(now); err != nil {
		return err
	}
	e.rebalance(now)
	api := e.api
	for _, st := range e.sites {
		if st.lost {
			continue
		}
		if t := e.timing(); t != nil && t.WatchDelay.Duration > 0 {
			e.pending.Add(e.key(now+t.WatchDelay.Duration), func(at time.Duration) error { return e.hear(st, api, now, at) })
			continue
		}
		if err := e.hear(st, api, now, now); err != nil {
			return err
		}
	}
	return nil
}

// hear is one kube-proxy told of a change, made at a time: it syncs at once, or when the least time since its last sync is over.
func (e *engine) hear(st *site, api apiState, made, now time.Duration) error {
	st.heard = api
	if !st.stale {
		st.stale, st.since = true, made
	}
	if st.down || st.planned || st.lost {
		return nil
	}
	if t := e.timing(); t != nil && t.MinSync.Duration > 0 && now < st.synced+t.MinSync.Duration {
		st.planned = true
		e.pending.Add(e.key(st.synced+t.MinSync.Duration), func(at time.Duration) error {
			st.planned = false
			return e.syncSite(st, at)
		})
		return nil
	}
	return e.syncSite(st, now)
}

// syncSite lets one kube-proxy sync, and begins a new epoch of its node.
func (e *engine) syncSite(st *site, now time.Duration) error {
	if st.lost || st.down {
		return nil
	}
	st.State.Services, st.State.Slices = st.heard.services, st.heard.slices
	st.Node.Advance(now)
	if err := st.sync(now); err != nil {
		return err
	}
	if st.stale {
		e.syncDelay.AddDuration(now - st.since)
		st.stale = false
	}
	e.syncs.Add(1)
	st.synced = now
	e.planCheck(st)
	return e.newEpoch(now, st)
}

// clone copies what a change is made to: earlier states are kept by kube-proxy's memory.
func (c apiState) clone() apiState {
	out := apiState{slices.Clone(c.services), slices.Clone(c.slices)}
	for i := range out.slices {
		out.slices[i].Endpoints = slices.Clone(out.slices[i].Endpoints)
	}
	return out
}
