package scenario

import (
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/svclab/svclab/sim/check"
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
	d.stacks(s)
	if len(s.Spec.Nodes) > 1 {
		d.add(s.Spec.Nodes[1].At, "", "one node with rules of its own can be modelled")
	}
	if len(s.Spec.Nodes) > 0 && (len(s.Spec.Manifests) > 0 || len(s.Spec.Objects) > 0 || s.Spec.Cluster != nil) {
		d.add(s.Spec.Nodes[0].At, "leave out manifests and objects, or the node's rules", "rules stand beside manifests")
	}
	seen := map[string]bool{}
	for i := range s.Spec.Checks {
		c := &s.Spec.Checks[i]
		if seen[c.Name] {
			d.add(c.At, "", "two checks are called %q", c.Name)
		}
		seen[c.Name] = true
		d.oneCheck(c, names, all)
	}
	for i := range s.Spec.Events {
		d.event(&s.Spec.Events[i])
	}
	if c := s.Spec.Cluster; c != nil {
		d.cluster(c)
	}
}

func (d *decoder) cluster(c *Cluster) {
	if c.Nodes < 1 || c.Nodes > 250 {
		d.add(c.At, "", "a cluster has 1 to 250 nodes")
	}
	for i := range c.Services {
		switch v := &c.Services[i]; {
		case v.ExternalName != "" && (v.Headless || v.Endpoints > 0 || v.Type != "" || v.NodePort > 0):
			d.add(v.At, "", "a Service with an externalName has no endpoints, type or node port")
		case v.Headless && (v.Type != "" && v.Type != "ClusterIP" || v.NodePort > 0):
			d.add(v.At, "", "a headless Service is of type ClusterIP")
		}
	}
}

// oneCheck finds what is wrong with one check.
func (d *decoder) oneCheck(c *Check, names map[string]bool, all []string) {
	n := 0
	var of Text
	if c.Shares != nil {
		n, of = n+1, c.Shares.Traffic
	}
	if c.Reachable != nil {
		n, of = n+1, c.Reachable.Traffic
	}
	if c.Affinity != nil {
		n, of = n+1, c.Affinity.Traffic
	}
	if t := c.Threshold; t != nil {
		n, of = n+1, t.Traffic
		if of.Value == "" && len(all) == 1 {
			t.Traffic = Text{Value: all[0], At: t.At}
			of = t.Traffic
		}
		if _, err := check.ParseThreshold(t.Metric.Value, t.Expect.Value); err != nil {
			d.add(t.Expect.At, "", "%v", err)
		}
	}
	if k := c.Counter; k != nil {
		n++
		if _, err := check.ParseThreshold("packets", k.Expect.Value); err != nil {
			d.add(k.Expect.At, "", "%v", err)
		}
	}
	if n != 1 {
		d.add(c.At, "", "check %q must have exactly one of shares, reachable, affinity, threshold, counter", c.Name)
		return
	}
	if of.Value != "" && !names[of.Value] {
		d.add(of.At, hint(of.Value, all), "there is no traffic %q", of.Value)
	}
}

func (d *decoder) event(e *Event) {
	n := 0
	for _, given := range []bool{
		e.Endpoint != nil, e.Add != nil, e.Scale != nil, e.RollingUpdate != nil, e.NodeLost != nil, len(e.Apply) > 0, e.Delete != nil, e.ProxyConfig != nil,
	} {
		if given {
			n++
		}
	}
	if n != 1 {
		d.add(e.Pos, "", "an event must have exactly one of endpoint, add, scale, rollingUpdate, nodeLost, apply, delete, proxyConfig")
	}
	if r := e.RollingUpdate; r != nil && r.MaxSurge == 0 && r.MaxUnavailable == 0 {
		d.add(r.At, "", "a rolling update needs maxSurge or maxUnavailable")
	}
}

func (d *decoder) traffic(t *Traffic) {
	n := 0
	for _, given := range []bool{
		t.From.Pods > 0, t.From.OtherPods > 0, t.From.External > 0, t.From.Node, t.From.Loopback, len(t.From.Addresses) > 0, t.From.Endpoint.IsValid(),
	} {
		if given {
			n++
		}
	}
	if n != 1 {
		d.add(t.From.At, "", "from must have exactly one of pods, otherPods, external, node, loopback, addresses, endpoint")
	}
	to := 0
	for _, given := range []bool{t.To.Service.Value != "", t.To.Address.IsValid(), t.To.Name.Value != ""} {
		if given {
			to++
		}
	}
	switch {
	case to != 1:
		d.add(t.To.At, "", "to must have exactly one of service, address, name")
	case t.To.Name.Value != "" && t.To.Port.Number == 0:
		d.add(t.To.At, "write port: 80", "a name needs the number of a port")
	case t.To.Name.Value != "" && (t.To.Via != "" || t.To.Node != "" || t.To.Balancer != "" || t.To.Every || t.To.Health.Duration > 0):
		d.add(t.To.At, "", "a name says where connections go: leave via, node, balancer, everyNode and healthDelay out")
	case t.To.Name.Value == "" && t.Resolver != nil:
		d.add(t.Resolver.At, "", "a resolver is for traffic to a name")
	}
	if v := t.To.Service; v.Value != "" && strings.Count(v.Value, "/") != 1 {
		d.add(v.At, "write namespace/name", "service %q has no namespace", v.Value)
	}
	if t.Connections == 0 {
		t.Connections = DefaultConnections
	}
	if t.Rate.Count == 0 {
		_ = t.Rate.parse("1000/s")
	}
	switch {
	case t.Arrivals == "bursts" && t.Burst == 0:
		d.add(t.At, "write burst: 10", "arrivals in bursts need the size of a burst")
	case t.Arrivals != "bursts" && t.Burst > 0:
		d.add(t.At, "write arrivals: bursts", "burst is for arrivals in bursts")
	case t.Arrivals == "onOff" && (t.On.Duration == 0 || t.Off.Duration == 0):
		d.add(t.At, "write on: 10s, off: 20s", "arrivals on and off need both lengths")
	case t.Arrivals != "onOff" && (t.On.Duration > 0 || t.Off.Duration > 0):
		d.add(t.At, "write arrivals: onOff", "on and off are for arrivals that pause")
	case t.Lengths == "exponential" && t.Duration.Duration == 0:
		d.add(t.At, "", "lengths are drawn around a duration")
	case t.Pool != nil && t.Requests != nil:
		d.add(t.At, "", "a pool's connections are used by the traffic's arrivals: leave requests out")
	case t.Pool != nil && t.Pool.Size == 0:
		d.add(t.Pool.At, "", "a pool has at least one connection")
	case t.Requests != nil && t.Requests.Count == 0 && (t.Requests.Every.Duration == 0 || t.Duration.Duration == 0):
		d.add(t.Requests.At, "", "requests need a count, or every and the connection's duration")
	case t.Ports > lastPort-firstPort+1:
		d.add(t.At, "", "a client has %d source ports at most", lastPort-firstPort+1)
	}
}

// DefaultConnections is the number of connections of a traffic that names none: enough to show even shares of ten endpoints.
const DefaultConnections = 100000

// The source ports that Linux hands out (net.ipv4.ip_local_port_range).
const firstPort, lastPort = 32768, 60999

func (d *decoder) add(p Pos, hint, format string, args ...any) {
	d.errs = append(d.errs, d.at(p, hint, format, args...))
}
