package run

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/input"
	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/scenario"
)

// event lets one event happen.
func (e *engine) event(now time.Duration, ev *scenario.Event) error {
	switch {
	case ev.Endpoint != nil:
		x := ev.Endpoint
		if x.Dies {
			e.dead[x.Address.Addr] = true
			e.moment(now, "", "endpoint "+x.Address.String()+" dies")
			return e.world.alter(now)
		}
		e.moment(now, "", wordsOf(x))
		return e.change(now, func(c *apiState) {
			for i := range c.slices {
				c.slices[i].Endpoints = changed(x, c.slices[i])
			}
		})
	case ev.Add != nil:
		e.moment(now, "", fmt.Sprintf("endpoint %s of %s comes", ev.Add.Address, ev.Add.Service.Value))
		return e.change(now, func(c *apiState) { c.add(ev.Add.Service.Value, ev.Add.Address.Addr, ev.Add.Node, true) })
	case ev.Scale != nil:
		e.moment(now, "", fmt.Sprintf("%s is scaled to %d endpoints", ev.Scale.Service.Value, ev.Scale.Replicas))
		return e.scale(now, ev.Scale)
	case ev.RollingUpdate != nil:
		e.moment(now, "", "a rolling update of "+ev.RollingUpdate.Service.Value+" begins")
		return e.roll(now, ev.RollingUpdate)
	case ev.NodeLost != nil:
		return e.lose(now, ev.NodeLost)
	case ev.ProxyConfig != nil:
		return e.restart(now, ev.ProxyConfig)
	}
	return e.objects(now, ev)
}

// moment notes what happened.
func (e *engine) moment(now time.Duration, node, what string, log ...string) {
	e.moments = append(e.moments, report.Moment{At: now.String(), What: what, Node: node, Log: log})
}

func wordsOf(x *scenario.EndpointEvent) string {
	var w []string
	for _, c := range []struct {
		name string
		v    *bool
	}{{"ready", x.Ready}, {"serving", x.Serving}, {"terminating", x.Terminating}} {
		switch {
		case c.v == nil:
		case *c.v:
			w = append(w, c.name)
		default:
			w = append(w, "not "+c.name)
		}
	}
	if x.Removed {
		w = append(w, "removed")
	}
	return "endpoint " + x.Address.String() + ": " + strings.Join(w, ", ")
}

// change changes what the API holds, and lets kube-proxies hear of it.
func (e *engine) change(now time.Duration, do func(*apiState)) error {
	e.api = e.api.clone()
	do(&e.api)
	return e.tell(now)
}

func changed(ev *scenario.EndpointEvent, sl service.EndpointSlice) []service.Endpoint {
	var out []service.Endpoint
	for _, x := range sl.Endpoints {
		if affects(ev, sl.Service, x) {
			if ev.Removed {
				continue
			}
			if ev.Ready != nil {
				x.Ready = *ev.Ready
			}
			if ev.Serving != nil {
				x.Serving = *ev.Serving
			}
			if ev.Terminating != nil {
				x.Terminating = *ev.Terminating
				if *ev.Terminating && ev.Ready == nil {
					x.Ready = false
				}
			}
		}
		out = append(out, x)
	}
	return out
}

// add puts an endpoint into the first slice of a Service that has its family.
func (c *apiState) add(of string, a netip.Addr, node string, ready bool) {
	for i := range c.slices {
		if sl := &c.slices[i]; sl.Service.String() == of && sl.Family == packet.FamilyOf(a) {
			sl.Endpoints = append(sl.Endpoints, service.Endpoint{Addresses: []netip.Addr{a}, Ready: ready, Serving: ready, NodeName: node})
			return
		}
	}
}

// each calls f for every endpoint of a Service.
func (c *apiState) each(of string, f func(*service.Endpoint)) {
	for i := range c.slices {
		if c.slices[i].Service.String() == of {
			for k := range c.slices[i].Endpoints {
				f(&c.slices[i].Endpoints[k])
			}
		}
	}
}

// remove takes endpoints of a Service away.
func (c *apiState) remove(of string, gone map[netip.Addr]bool) {
	for i := range c.slices {
		if c.slices[i].Service.String() == of {
			c.slices[i].Endpoints = slices.DeleteFunc(c.slices[i].Endpoints, func(x service.Endpoint) bool { return gone[x.Addresses[0]] })
		}
	}
}

// scale adds endpoints, by turns on the nodes, or takes the last ones away.
func (e *engine) scale(now time.Duration, ev *scenario.ScaleEvent) error {
	of := ev.Service.Value
	var have []netip.Addr
	e.api.each(of, func(x *service.Endpoint) {
		if !x.Terminating {
			have = append(have, x.Addresses[0])
		}
	})
	if ev.Replicas < len(have) {
		gone := map[netip.Addr]bool{}
		for _, a := range have[ev.Replicas:] {
			gone[a] = true
		}
		return e.change(now, func(c *apiState) { c.remove(of, gone) })
	}
	var err error
	return orElse(e.change(now, func(c *apiState) {
		for i := len(have); i < ev.Replicas && err == nil; i++ {
			node := e.names[i%len(e.names)]
			var a netip.Addr
			if a, err = e.fresh(node); err == nil {
				c.add(of, a, node, true)
			}
		}
	}), &err)
}

func orElse(err error, also *error) error {
	if err == nil {
		return *also
	}
	return err
}

// fresh is an address of a node's Pod CIDR that nobody has or had.
func (e *engine) fresh(node string) (netip.Addr, error) {
	for _, p := range e.cidrs[node] {
		a := p.Masked().Addr()
		for range 100 { // the first are those of clients
			a = a.Next()
		}
		for ; p.Contains(a); a = a.Next() {
			used := e.taken(a)
			for i := range e.groups {
				used = used || slices.Contains(e.groups[i].Clients, a)
			}
			if !used {
				e.known[target{at: netip.AddrPortFrom(a, 0)}] = false // now it is known
				return a, nil
			}
		}
	}
	return netip.Addr{}, &InputError{What: "node", Text: node, Why: "has no Pod CIDR with an address to spare for a new endpoint"}
}

// lose takes a node away; what stood on it answers no more.
func (e *engine) lose(now time.Duration, ev *scenario.NodeLost) error {
	name := ev.Node.Value
	e.moment(now, name, "the node is lost")
	for _, sl := range e.api.slices {
		for _, x := range sl.Endpoints {
			if x.NodeName == name {
				e.dead[x.Addresses[0]] = true
			}
		}
	}
	st := e.siteNamed(name)
	if st != nil {
		st.lost = true
	}
	detected := ev.Detected.Duration
	if detected == 0 {
		detected = 40 * time.Second // node-monitor-grace-period of the controller manager
	}
	e.pending.Add(e.key(now+detected), func(at time.Duration) error {
		e.moment(at, name, "the loss is noticed: its endpoints are no longer ready")
		if st != nil {
			st.detected = true
		}
		return e.change(at, func(c *apiState) {
			for i := range c.slices {
				for k := range c.slices[i].Endpoints {
					if x := &c.slices[i].Endpoints[k]; x.NodeName == name {
						x.Ready, x.Serving = false, false
					}
				}
			}
		})
	})
	return e.world.alter(now)
}

// objects creates, replaces or deletes Kubernetes objects.
func (e *engine) objects(now time.Duration, ev *scenario.Event) error {
	o := e.subject.Objects
	var names []string
	for i, x := range ev.Apply {
		if err := o.Apply(input.Source{Name: fmt.Sprintf("%s: apply[%d]", e.scenario.File, i), Data: x.YAML}); err != nil {
			return err
		}
		names = append(names, "apply")
	}
	if d := ev.Delete; d != nil {
		ns, n, _ := strings.Cut(d.Name.Value, "/")
		if !o.Delete(d.Kind, ns, n) {
			return e.scenario.Errorf(d.Name.At, "there is no %s %q", d.Kind, d.Name.Value)
		}
		names = append(names, "delete "+d.Kind+" "+d.Name.Value)
	}
	after, _, err := o.State(input.NodeOptions{Node: e.subject.options.Node, Mode: e.subject.options.Mode})
	if err != nil {
		return err
	}
	e.moment(now, "", strings.Join(names, ", "))
	return e.change(now, func(c *apiState) {
		c.services = after.Services
		kept := map[service.Name]int{}
		for i, sl := range c.slices {
			kept[sl.Name] = i
		}
		old := map[service.Name]service.EndpointSlice{}
		for _, sl := range e.given {
			old[sl.Name] = sl
		}
		var next []service.EndpointSlice
		for _, sl := range after.Slices {
			// Events have changed some slices since they were given; those that the objects change anew win.
			if i, ok := kept[sl.Name]; ok && sameSlice(old[sl.Name], sl) {
				sl = c.slices[i]
			}
			next = append(next, sl)
		}
		c.slices = next
		e.given = after.Slices
	})
}
