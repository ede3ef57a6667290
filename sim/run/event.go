package run

import (
	"slices"
	"time"

	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/scenario"
)

// event changes the state, lets kube-proxy sync at once, and begins a new epoch.
func (e *engine) event(now time.Duration, ev *scenario.Event) error {
	s := e.subject
	next := slices.Clone(s.State.Slices) // earlier states are kept by kube-proxy's memory
	for i := range next {
		next[i].Endpoints = changed(ev.Endpoint, next[i])
	}
	s.State.Slices = next
	e.learn()
	s.Node.Advance(now)
	if err := s.sync(now); err != nil {
		return err
	}
	e.planCheck()
	return e.newEpoch(now)
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
