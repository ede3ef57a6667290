package kubeproxy

import (
	"reflect"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

// tracker is one proxier's memory of Services and endpoints, and finds what changed since the last sync
// (pkg/proxy/servicechangetracker.go, endpointschangetracker.go, endpointslicecache.go, v1.37).
//
// kube-proxy is told of objects one by one and adds changes up until it syncs; here the states at two syncs are compared.
// That differs only for an EndpointSlice which changed and changed back between two syncs.
type tracker struct {
	family   packet.Family
	node     string
	ports    []service.Port
	byName   map[service.Name][]service.Port
	slices   map[service.Name]service.EndpointSlice // by name of the slice
	left     map[place]service.EndpointSlice        // what a slice left behind at a Service that it moved away from
	backends map[service.PortName][]service.Backend
	zone     string
	started  bool
}

// place is where kube-proxy files a slice. It is told of a slice's present state alone: when the label that names its Service
// changes or goes, the endpoints stay with the Service of old too, until the process ends or the slice comes back to it.
type place struct{ service, slice service.Name }

// changes are what update found.
type changes struct {
	services map[service.Name]bool // whose ports or slices changed
	udp      bool                  // a UDP port's endpoints may have changed
	topology bool                  // the node's topology labels changed
}

// any reports whether kube-proxy asks for a sync.
func (c changes) any() bool { return len(c.services) > 0 || c.topology }

// update takes over a new state.
func (t *tracker) update(s *service.State) changes {
	c := changes{services: map[service.Name]bool{}}
	first := !t.started
	t.started = true
	if !first && s.Node.Labels[service.LabelZone] != t.zone {
		c.topology = true
	}
	t.zone = s.Node.Labels[service.LabelZone]

	ports := s.Ports(t.family)
	byName := make(map[service.Name][]service.Port, len(s.Services))
	for i := range ports {
		byName[ports[i].Name] = append(byName[ports[i].Name], ports[i])
	}
	for n, now := range byName {
		if !service.SamePorts(t.byName[n], now) {
			c.services[n] = true
		}
	}
	for n := range t.byName {
		if _, ok := byName[n]; !ok {
			c.services[n] = true
		}
	}
	t.ports, t.byName = ports, byName

	slices := make(map[service.Name]service.EndpointSlice, len(s.Slices))
	unnamed := map[service.Name]bool{}
	for i := range s.Slices {
		switch e := &s.Slices[i]; {
		case e.Visible(t.family):
			slices[e.Name] = *e
		case e.Family == t.family && e.Service.Name == "":
			unnamed[e.Name] = true
		}
	}
	touched := map[service.Name]bool{}
	for n, now := range slices {
		old, ok := t.slices[n]
		if ok && reflect.DeepEqual(old, now) {
			continue
		}
		touched[now.Service] = true
		if ok && old.Service != now.Service {
			t.leave(n, old)
		}
		delete(t.left, place{now.Service, n})
	}
	for n, old := range t.slices {
		if _, ok := slices[n]; ok {
			continue
		}
		if unnamed[n] { // such an update is an error to kube-proxy, which goes on with what it had
			t.leave(n, old)
			continue
		}
		touched[old.Service] = true
	}
	t.slices = slices
	old := t.backends
	if first || len(touched) > 0 {
		all := s.Slices
		if len(t.left) > 0 {
			all = append([]service.EndpointSlice(nil), all...)
			for _, e := range t.left { // their order does not matter: they are sorted by name
				all = append(all, e)
			}
		}
		t.backends = service.BackendsOf(all, t.family, t.node)
	}
	for n := range touched {
		c.services[n] = true
	}
	c.udp = anyUDP(old, touched) || anyUDP(t.backends, touched)
	return c
}

// leave notes what a slice leaves behind.
func (t *tracker) leave(name service.Name, was service.EndpointSlice) {
	if t.left == nil {
		t.left = map[place]service.EndpointSlice{}
	}
	t.left[place{was.Service, name}] = was
}

// anyUDP reports whether one of the named Services has endpoints of a UDP port.
func anyUDP(m map[service.PortName][]service.Backend, names map[service.Name]bool) bool {
	if len(names) == 0 {
		return false
	}
	for p := range m {
		if p.Protocol == packet.UDP && names[p.Name] {
			return true
		}
	}
	return false
}
