package run

import (
	"strings"

	"github.com/svclab/svclab/sim/scenario"
	"github.com/svclab/svclab/sim/spelling"
)

// checkEvent finds an event that could change nothing.
func (e *engine) checkEvent(ev *scenario.Event) error {
	switch {
	case ev.Add != nil:
		if ev.Add.Node != "" && len(e.names) > 0 && e.cidrs[ev.Add.Node] == nil && e.siteNamed(ev.Add.Node) == nil {
			return e.scenario.Errorf(ev.Add.At, "there is no node %q", ev.Add.Node)
		}
		return e.hasSlices(ev.Add.Service)
	case ev.Scale != nil:
		return e.hasSlices(ev.Scale.Service)
	case ev.RollingUpdate != nil:
		for _, n := range ev.RollingUpdate.On {
			if e.cidrs[n] == nil {
				return e.scenario.Errorf(ev.RollingUpdate.At, "there is no node %q; there is %s", n, strings.Join(e.names, ", "))
			}
		}
		return e.hasSlices(ev.RollingUpdate.Service)
	case ev.NodeLost != nil:
		for _, n := range e.names {
			if n == ev.NodeLost.Node.Value {
				return nil
			}
		}
		return e.scenario.Errorf(ev.NodeLost.Node.At, "there is no node %q; there is %s", ev.NodeLost.Node.Value, strings.Join(e.names, ", "))
	case ev.ProxyConfig != nil:
		if n := ev.ProxyConfig.Node; n != "" && e.siteNamed(n) == nil {
			return e.scenario.Errorf(ev.ProxyConfig.At, "no modelled node is called %q; there is %s", n, e.nodeNames())
		}
		return nil
	case ev.Endpoint == nil:
		return nil
	}
	for _, sl := range e.subject.State.Slices {
		for _, x := range sl.Endpoints {
			if affects(ev.Endpoint, sl.Service, x) {
				return nil
			}
		}
	}
	for i := range e.scenario.Spec.Events {
		if a := e.scenario.Spec.Events[i].Add; a != nil && a.Address == ev.Endpoint.Address {
			return nil
		}
	}
	return e.scenario.Errorf(ev.Endpoint.At, "no EndpointSlice has an endpoint %s", ev.Endpoint.Address)
}

// hasSlices reports whether a Service has a slice that its endpoints can be in.
func (e *engine) hasSlices(of scenario.Text) error {
	var names []string
	for _, sl := range e.api.slices {
		if sl.Service.String() == of.Value {
			return nil
		}
		names = append(names, sl.Service.String())
	}
	hint := ""
	if near := spelling.Nearest(of.Value, names); len(near) > 0 {
		hint = "; did you mean " + strings.Join(near, ", ") + "?"
	}
	return e.scenario.Errorf(of.At, "no EndpointSlice is of a Service %q%s", of.Value, hint)
}
