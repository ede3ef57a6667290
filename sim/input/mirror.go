package input

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

// endpoints checks a legacy Endpoints object and keeps what the EndpointSliceMirroring controller would make of it
// (pkg/controller/endpointslicemirroring): one slice for each subset and family.
func (c *checker) endpoints(e *corev1.Endpoints) ([]service.EndpointSlice, error) {
	var slices []service.EndpointSlice
	for i, sub := range e.Subsets {
		var ports []service.EndpointPort
		for j, p := range sub.Ports {
			port, err := c.port(p.Port, false, "subsets", i, "ports", j, "port")
			if err != nil {
				return nil, err
			}
			proto, err := c.protocol(string(p.Protocol), "subsets", i, "ports", j, "protocol")
			if err != nil {
				return nil, err
			}
			ports = append(ports, service.EndpointPort{Name: p.Name, Protocol: proto, Port: port})
		}
		byFamily := map[packet.Family][]service.Endpoint{}
		for _, list := range []struct {
			name  string
			ready bool
			addrs []corev1.EndpointAddress
		}{{"addresses", true, sub.Addresses}, {"notReadyAddresses", false, sub.NotReadyAddresses}} {
			for j, a := range list.addrs {
				ip, err := c.addr(a.IP, "subsets", i, list.name, j, "ip")
				if err != nil {
					return nil, err
				}
				y := service.Endpoint{Addresses: []netip.Addr{ip}, Ready: list.ready, Serving: list.ready, Hostname: a.Hostname}
				if a.NodeName != nil {
					y.NodeName = *a.NodeName
				}
				f := packet.FamilyOf(ip)
				byFamily[f] = append(byFamily[f], y)
			}
		}
		for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
			if eps := byFamily[f]; len(eps) > 0 {
				slices = append(slices, service.EndpointSlice{
					Name:    service.Name{Namespace: c.object.Namespace, Name: c.object.Name + "-mirrored-" + itoa(len(slices))},
					Service: service.Name{Namespace: c.object.Namespace, Name: c.object.Name},
					Family:  f, Ports: ports, Endpoints: eps,
				})
			}
		}
	}
	return slices, nil
}

// mirror adds the slices of legacy Endpoints where a cluster would have them and the inputs do not: for a Service
// without selector and without slices. All others are listed as ignored, since kube-proxy reads slices only.
func (o *Objects) mirror(st *service.State, rep *Report) {
	var legacy []*Object
	for _, x := range o.list {
		if x != nil && x.Kind == "Endpoints" {
			legacy = append(legacy, x)
		}
	}
	if len(legacy) == 0 {
		return
	}
	has, selects := map[service.Name]bool{}, map[service.Name]bool{}
	for _, s := range st.Slices {
		has[s.Service] = true
	}
	given := map[service.Name]bool{}
	for _, s := range st.Services {
		given[s.Name] = true
		selects[s.Name] = len(s.Selector) > 0
	}
	for _, x := range legacy {
		name := service.Name{Namespace: x.Namespace, Name: x.Name}
		switch {
		case !given[name]:
			rep.warn(x.Position(), "%s is ignored: its Service is not given", x)
		case has[name]:
			rep.warn(x.Position(), "%s is ignored: kube-proxy reads EndpointSlices, and the Service has some", x)
		case selects[name]:
			rep.warn(x.Position(), "%s is ignored: kube-proxy reads EndpointSlices (kubectl get endpointslices)", x)
		default:
			rep.warn(x.Position(), "%s is read as the EndpointSlices that its mirroring controller makes of it", x)
			st.Slices = append(st.Slices, x.parsed.([]service.EndpointSlice)...)
		}
	}
}
