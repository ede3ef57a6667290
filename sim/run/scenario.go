package run

import (
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/input"
	"github.com/svclab/svclab/sim/scenario"
	"github.com/svclab/svclab/sim/spelling"
	"github.com/svclab/svclab/sim/traffic"
)

// subjectOf loads the node of a scenario; files are looked for beside it.
func subjectOf(sc *scenario.Scenario, files fs.FS, so ScenarioOptions) (*Subject, error) {
	o := Options{Mode: service.Mode(sc.Spec.Mode), Node: sc.Spec.Node, Profile: sc.Spec.Profile, kernel: so.kernel, applied: so.applied}
	var sources []input.Source
	if p := sc.Spec.Proxy; p != nil {
		o.without = p.Without
	}
	if k := sc.Spec.Kernel; k != nil {
		o.max = k.ConntrackMax
	}
	if c := sc.Spec.Cluster; c != nil {
		sources = made(c, sc.File)
		if o.Node == "" {
			o.Node = "node-1"
		}
	}
	read := func(t scenario.Text) error {
		data, err := fs.ReadFile(files, path.Clean(t.Value))
		if err != nil {
			return sc.Errorf(t.At, "cannot read %q: %v", t.Value, unwrapPath(err))
		}
		sources = append(sources, input.Source{Name: t.Value, Data: data})
		return nil
	}
	for _, n := range sc.Spec.Nodes {
		for _, a := range n.NodeIPs {
			o.NodeIPs = append(o.NodeIPs, a.Addr)
		}
		for _, p := range n.PodCIDRs {
			o.PodCIDRs = append(o.PodCIDRs, p.Prefix)
		}
		if err := read(n.Rules); err != nil {
			return nil, err
		}
	}
	for _, m := range sc.Spec.Manifests {
		if err := read(m); err != nil {
			return nil, err
		}
	}
	for i, x := range sc.Spec.Objects {
		sources = append(sources, input.Source{Name: fmt.Sprintf("%s: objects[%d]", sc.File, i), Data: x.YAML})
	}
	if len(sources) == 0 {
		return nil, sc.Errorf(scenario.Pos{}, "there is nothing to load: no manifests, objects, cluster or nodes with rules")
	}
	s, err := Load(sources, o)
	if err != nil {
		return nil, err
	}
	if len(sc.Spec.Nodes) > 0 && sc.Spec.Nodes[0].Name != "" {
		s.Host.Name = sc.Spec.Nodes[0].Name
	}
	return s, nil
}

func unwrapPath(err error) error {
	if p, ok := err.(*fs.PathError); ok {
		return p.Err
	}
	return err
}

// groups resolves the traffic of a scenario to addresses.
func (s *Subject) groups(sc *scenario.Scenario) ([]traffic.Group, error) {
	var out []traffic.Group
	for i := range sc.Spec.Traffic {
		t := &sc.Spec.Traffic[i]
		g := traffic.Group{
			Name: t.Name, Connections: t.Connections, Gap: t.Rate.Gap(), Poisson: t.Arrivals == "poisson", Start: t.Start.Duration,
			Burst: t.Burst, On: t.On.Duration, Off: t.Off.Duration, Ports: t.Ports, Duration: t.Duration.Duration, Drawn: t.Lengths == "exponential",
		}
		var err error
		if g.To, g.Proto, err = s.destination(sc, t); err != nil {
			return nil, err
		}
		if g.Clients, err = s.clients(sc, t, packet.FamilyOf(g.To.Addr())); err != nil {
			return nil, err
		}
		out = append(out, g)
	}
	return out, nil
}

// destination is the address, port and protocol that a traffic goes to.
func (s *Subject) destination(sc *scenario.Scenario, t *scenario.Traffic) (netip.AddrPort, packet.Protocol, error) {
	proto := packet.TCP
	if t.Protocol != "" {
		proto, _ = packet.ParseTransport(t.Protocol)
	}
	switch {
	case t.To.Address.IsValid():
		return t.To.Address.AddrPort, proto, nil
	case t.To.Name.Value != "" && t.To.Family == "ipv6": // until it is looked up
		return netip.AddrPortFrom(nowhere[1], t.To.Port.Number), proto, nil
	case t.To.Name.Value != "":
		return netip.AddrPortFrom(nowhere[0], t.To.Port.Number), proto, nil
	}
	p, f, err := s.servicePort(sc, t)
	if err != nil {
		return netip.AddrPort{}, 0, err
	}
	var a netip.Addr
	port := p.Port
	switch t.To.Via {
	case "", "clusterIP":
		a = p.ClusterIP
	case "nodePort":
		if port = p.NodePort; port == 0 {
			break
		}
		i := slices.IndexFunc(s.Host.NodeIPs, func(a netip.Addr) bool { return packet.FamilyOf(a) == f })
		if i >= 0 {
			a = s.Host.NodeIPs[i]
		}
	case "externalIP":
		if len(p.ExternalIPs) > 0 {
			a = p.ExternalIPs[0]
		}
	case "loadBalancer":
		if len(p.LoadBalancerIPs) > 0 {
			a = p.LoadBalancerIPs[0]
		}
	}
	if !a.IsValid() {
		return netip.AddrPort{}, 0, sc.Errorf(t.To.At, "Service %s has no %s here", t.To.Service.Value, t.To.Via)
	}
	return netip.AddrPortFrom(a, port), p.Protocol, nil
}

func (s *Subject) servicePort(sc *scenario.Scenario, t *scenario.Traffic) (*service.Port, packet.Family, error) {
	name := t.To.Service
	sv := s.service(name.Value)
	if sv == nil {
		var names []string
		for i := range s.State.Services {
			names = append(names, s.State.Services[i].Name.String())
		}
		near := spelling.Nearest(name.Value, names)
		if len(near) > 0 {
			return nil, 0, sc.Errorf(name.At, "there is no Service %q; did you mean %s?", name.Value, strings.Join(near, ", "))
		}
		return nil, 0, sc.Errorf(name.At, "there is no Service %q", name.Value)
	}
	if why := sv.Skip(); why != "" {
		return nil, 0, sc.Errorf(name.At, "Service %s has no rules: %s", name.Value, why)
	}
	f := packet.FamilyOf(sv.ClusterIPs[0])
	switch t.To.Family {
	case "ipv4":
		f = packet.IPv4
	case "ipv6":
		f = packet.IPv6
	}
	ports := sv.FamilyPorts(f)
	var names []string
	for i := range ports {
		p := &ports[i]
		names = append(names, strconv.Itoa(int(p.Port)))
		if p.PortName.Port != "" {
			names = append(names, p.PortName.Port)
		}
		ref := t.To.Port
		switch {
		case t.Protocol != "" && t.Protocol != p.Protocol.String():
		case ref.Number != 0 && ref.Number == p.Port, ref.Name != "" && ref.Name == p.PortName.Port:
			return p, f, nil
		case ref == scenario.PortRef{} && len(ports) == 1:
			return p, f, nil
		}
	}
	return nil, 0, sc.Errorf(t.To.At, "Service %s has no such port; it has %s", name.Value, strings.Join(names, ", "))
}

// clients are the addresses that a traffic comes from.
func (s *Subject) clients(sc *scenario.Scenario, t *scenario.Traffic, f packet.Family) ([]netip.Addr, error) {
	switch from := t.From; {
	case from.Endpoint.IsValid():
		if packet.FamilyOf(from.Endpoint.Addr) != f {
			return nil, sc.Errorf(t.From.At, "endpoint %s is not of the family of the destination", from.Endpoint)
		}
		return []netip.Addr{from.Endpoint.Addr}, nil
	case from.Pods > 0 && (sc.Spec.AllNodes || sc.Spec.Cluster != nil) && len(s.Objects.Nodes()) > 1: // spread over the nodes later
		return s.podClients(sc, t, f, 1)
	case from.Pods > 0:
		return s.podClients(sc, t, f, from.Pods)
	case from.OtherPods > 0:
		return s.take(sc, t, s.otherPods(f), from.OtherPods)
	case from.External > 0:
		return s.take(sc, t, outsiders(f), from.External)
	case from.Node:
		for _, a := range s.Host.NodeIPs {
			if packet.FamilyOf(a) == f {
				return []netip.Addr{a}, nil
			}
		}
		return nil, sc.Errorf(t.From.At, "the node has no address of family %s", f)
	case from.Loopback:
		return []netip.Addr{loopback(f)}, nil
	}
	var out []netip.Addr
	for _, a := range t.From.Addresses {
		if packet.FamilyOf(a.Addr) != f {
			return nil, sc.Errorf(t.From.At, "client %s is not of the family of the destination", a)
		}
		out = append(out, a.Addr)
	}
	return out, nil
}

// otherPods is where Pods of other nodes are: the cluster's range, or without one a range for benchmarks (RFC 2544) or
// documentation (RFC 3849), which no cluster uses.
func (s *Subject) otherPods(f packet.Family) netip.Prefix {
	for _, p := range s.State.Config.ClusterCIDRs {
		if packet.FamilyOf(p.Addr()) == f {
			return p
		}
	}
	if f == packet.IPv6 {
		return netip.MustParsePrefix("2001:db8:1::/64")
	}
	return netip.MustParsePrefix("198.18.0.0/16")
}

// outsiders is where clients outside the cluster are.
func outsiders(f packet.Family) netip.Prefix {
	if f == packet.IPv6 {
		return netip.MustParsePrefix("2001:db8:2::/64")
	}
	return netip.MustParsePrefix("198.19.0.0/16")
}

// take lists addresses of a prefix that are neither the node's nor an endpoint's, and for others than the node's own Pods
// none of its Pod CIDR.
func (s *Subject) take(sc *scenario.Scenario, t *scenario.Traffic, p netip.Prefix, n int) ([]netip.Addr, error) {
	used := map[netip.Addr]bool{}
	for _, sl := range s.State.Slices {
		for _, e := range sl.Endpoints {
			for _, a := range e.Addresses {
				used[a] = true
			}
		}
	}
	out := make([]netip.Addr, 0, min(n, 1<<16))
	own := t.From.Pods > 0
	first := p.Masked().Addr().Next().Next()
	if !own {
		first = middle(p)
	}
	for a := first; len(out) < n; a = a.Next() {
		if !p.Contains(a) {
			return nil, sc.Errorf(t.From.At, "%s has no %d addresses for clients", p, n)
		}
		if !used[a] && !s.Host.IsNode(a) && s.Host.IsLocalPod(a) == own {
			out = append(out, a)
		}
	}
	return out, nil
}

// middle is the address half-way through a prefix: node Pod CIDRs are handed out from its start.
func middle(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	if n := p.Bits(); n < len(b)*8 {
		b[n/8] |= 1 << (7 - n%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
