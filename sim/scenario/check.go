package scenario

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// check finds what is wrong between fields that are each well formed, and fills in what may be left out.
func (d *decoder) check(s *Scenario, n *yaml.Node) {
	if s.APIVersion != APIVersion {
		d.fail(n, "write "+APIVersion, "apiVersion %q is unknown", s.APIVersion)
	}
	if s.Kind != Kind {
		d.fail(n, "write "+Kind, "kind %q is unknown", s.Kind)
	}
	if s.Spec.Seed == 0 {
		s.Spec.Seed = 1
	}
	names := map[string]bool{}
	var all []string
	for i := range s.Spec.Traffic {
		t := &s.Spec.Traffic[i]
		if names[t.Name] {
			d.add(t.At, "", "two traffics are called %q", t.Name)
		}
		names[t.Name] = true
		all = append(all, t.Name)
		d.traffic(t)
	}
	if len(s.Spec.Nodes) > 1 {
		d.add(s.Spec.Nodes[1].At, "", "one node with rules of its own can be modelled")
	}
	if len(s.Spec.Nodes) > 0 && (len(s.Spec.Manifests) > 0 || len(s.Spec.Objects) > 0) {
		d.add(s.Spec.Nodes[0].At, "leave out manifests and objects, or the node's rules", "rules stand beside manifests")
	}
	seen := map[string]bool{}
	for _, c := range s.Spec.Checks {
		if seen[c.Name] {
			d.add(c.At, "", "two checks are called %q", c.Name)
		}
		seen[c.Name] = true
		var of Text
		switch {
		case c.Shares != nil && c.Reachable == nil:
			of = c.Shares.Traffic
		case c.Reachable != nil && c.Shares == nil:
			of = c.Reachable.Traffic
		default:
			d.add(c.At, "", "check %q must have exactly one of shares, reachable", c.Name)
			continue
		}
		if !names[of.Value] {
			d.add(of.At, hint(of.Value, all), "there is no traffic %q", of.Value)
		}
	}
	for _, e := range s.Spec.Events {
		if e.Endpoint == nil {
			d.add(e.Pos, "valid are endpoint", "the event says nothing")
		}
	}
}

func (d *decoder) traffic(t *Traffic) {
	n := 0
	for _, given := range []bool{t.From.Pods > 0, t.From.OtherPods > 0, t.From.External > 0, t.From.Node, t.From.Loopback, len(t.From.Addresses) > 0} {
		if given {
			n++
		}
	}
	if n != 1 {
		d.add(t.From.At, "", "from must have exactly one of pods, otherPods, external, node, loopback, addresses")
	}
	if (t.To.Service.Value == "") == !t.To.Address.IsValid() {
		d.add(t.To.At, "", "to must have exactly one of service, address")
	}
	if v := t.To.Service; v.Value != "" && strings.Count(v.Value, "/") != 1 {
		d.add(v.At, "write namespace/name", "service %q has no namespace", v.Value)
	}
	if t.Connections == 0 {
		d.add(t.At, "", "traffic %q opens no connection", t.Name)
	}
	if t.Rate.Count == 0 {
		_ = t.Rate.parse("1000/s")
	}
}

func (d *decoder) add(p Pos, hint, format string, args ...any) {
	d.errs = append(d.errs, d.at(p, hint, format, args...))
}
