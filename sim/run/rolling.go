package run

import (
	"net/netip"
	"reflect"
	"time"

	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/scenario"
)

func sameSlice(a, b service.EndpointSlice) bool { return reflect.DeepEqual(a, b) }

// rollout is a rolling update under way, as the Deployment controller and the endpoint controller bring it about
// (pkg/controller/deployment/rolling.go): new Pods up to the surge, old Pods ended as long as enough are available.
type rollout struct {
	e       *engine
	ev      *scenario.RollingUpdate
	want    int // Pods that there were
	old     []pod
	created int
	ready   int // old and new Pods that are ready
	live    int // Pods that are not terminating
}

type pod struct {
	addr netip.Addr
	node string
}

// roll begins a rolling update.
func (e *engine) roll(now time.Duration, ev *scenario.RollingUpdate) error {
	r := &rollout{e: e, ev: ev}
	e.api.each(ev.Service.Value, func(x *service.Endpoint) {
		if !x.Terminating {
			r.old = append(r.old, pod{x.Addresses[0], x.NodeName})
			if x.Ready {
				r.ready++
			}
		}
	})
	r.want, r.live = len(r.old), len(r.old)
	return r.step(now)
}

// step does what can be done now.
func (r *rollout) step(now time.Duration) error {
	for again := true; again; {
		again = false
		for r.created < r.want && r.live < r.want+r.ev.MaxSurge {
			if err := r.create(now); err != nil {
				return err
			}
			again = true
		}
		for len(r.old) > 0 && r.ready-1 >= r.want-r.ev.MaxUnavailable {
			if err := r.terminate(now); err != nil {
				return err
			}
			again = true
		}
	}
	return nil
}

func (r *rollout) create(now time.Duration) error {
	e, of := r.e, r.ev.Service.Value
	names := e.names
	if len(r.ev.On) > 0 {
		names = r.ev.On
	}
	node := names[r.created%len(names)]
	if r.ev.SameNode && len(r.old) > 0 {
		node = r.old[0].node
		if n := r.created - (r.want - len(r.old)); n > 0 && n < len(r.old) { // ahead of the old ones that are ended
			node = r.old[n].node
		}
	}
	a, err := e.fresh(node)
	if err != nil {
		return err
	}
	r.created++
	r.live++
	after := r.ev.ReadyAfter.Duration
	if after == 0 {
		after = time.Second
	}
	e.pending.Add(e.key(now+after), func(at time.Duration) error {
		err := e.change(at, func(c *apiState) {
			c.each(of, func(x *service.Endpoint) {
				if x.Addresses[0] == a {
					x.Ready, x.Serving = true, true
				}
			})
		})
		if err != nil {
			return err
		}
		e.moment(at, node, "new endpoint "+a.String()+" is ready")
		r.ready++
		return r.step(at)
	})
	return e.change(now, func(c *apiState) { c.add(of, a, node, false) })
}

func (r *rollout) terminate(now time.Duration) error {
	e, of, p := r.e, r.ev.Service.Value, r.old[0]
	r.old = r.old[1:]
	r.ready--
	r.live--
	e.moment(now, p.node, "old endpoint "+p.addr.String()+" terminates")
	e.pending.Add(e.key(now+r.ev.Termination.Duration), func(at time.Duration) error {
		return e.change(at, func(c *apiState) { c.remove(of, map[netip.Addr]bool{p.addr: true}) })
	})
	return e.change(now, func(c *apiState) {
		c.each(of, func(x *service.Endpoint) {
			if x.Addresses[0] == p.addr {
				x.Ready, x.Serving, x.Terminating = false, true, true
			}
		})
	})
}
