package input

import (
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

// The sizes the API server allows (pkg/apis/discovery/validation).
const (
	maxEndpoints = 1000
	maxAddresses = 100
)

// slice checks an EndpointSlice. A slice that kube-proxy does not look at (no Service label, FQDN addresses) is nil.
func (c *checker) slice(s *discoveryv1.EndpointSlice) (*service.EndpointSlice, error) {
	x := &service.EndpointSlice{
		Name:   service.Name{Namespace: c.object.Namespace, Name: c.object.Name},
		Labels: s.Labels,
	}
	x.Service = service.Name{Namespace: x.Namespace, Name: s.Labels[discoveryv1.LabelServiceName]}
	switch s.AddressType {
	case discoveryv1.AddressTypeIPv4:
		x.Family = packet.IPv4
	case discoveryv1.AddressTypeIPv6:
		x.Family = packet.IPv6
	case discoveryv1.AddressTypeFQDN:
		c.warn([]any{"addressType"}, "kube-proxy ignores slices of addressType FQDN")
		return nil, nil
	case "":
		return nil, c.fault([]any{"addressType"}, "missing; it must be IPv4 or IPv6")
	default:
		return nil, c.oneOf(string(s.AddressType), []string{"IPv4", "IPv6", "FQDN"}, "addressType")
	}
	if err := c.slicePorts(x, s); err != nil {
		return nil, err
	}
	if len(s.Endpoints) > maxEndpoints {
		c.warn([]any{"endpoints"}, "%d endpoints: the API server takes at most %d in one slice, kube-proxy any number", len(s.Endpoints), maxEndpoints)
	}
	x.Endpoints = make([]service.Endpoint, 0, len(s.Endpoints))
	for i := range s.Endpoints {
		e, err := c.endpoint(x, s, i)
		if err != nil {
			return nil, err
		}
		x.Endpoints = append(x.Endpoints, e)
	}
	if x.Service.Name == "" {
		c.warn([]any{"metadata"}, "no label %s: kube-proxy ignores this slice", discoveryv1.LabelServiceName)
		return x, nil // one that it knew by that label stays as it was
	}
	c.mark("service", "metadata", "labels", discoveryv1.LabelServiceName)
	return x, nil
}

func (c *checker) slicePorts(x *service.EndpointSlice, s *discoveryv1.EndpointSlice) error {
	names := map[string]int{}
	for i, p := range s.Ports {
		var y service.EndpointPort
		var err error
		if p.Name != nil {
			y.Name = *p.Name
		}
		if first, ok := names[y.Name]; ok {
			return c.fault([]any{"ports", i, "name"}, "%s is also the name of ports[%d]", quote(y.Name), first)
		}
		names[y.Name] = i
		text := ""
		if p.Protocol != nil {
			text = string(*p.Protocol)
		}
		if y.Protocol, err = c.protocol(text, "ports", i, "protocol"); err != nil {
			return err
		}
		if p.Port != nil {
			if y.Port, err = c.port(*p.Port, false, "ports", i, "port"); err != nil {
				return err
			}
		}
		x.Ports = append(x.Ports, y)
	}
	return nil
}

// endpoint defaults conditions as their documentation says (discovery/v1, EndpointConditions): no value of ready or
// serving means true, no value of terminating means false.
func (c *checker) endpoint(x *service.EndpointSlice, s *discoveryv1.EndpointSlice, i int) (service.Endpoint, error) {
	e := &s.Endpoints[i]
	y := service.Endpoint{
		Ready:       e.Conditions.Ready == nil || *e.Conditions.Ready,
		Serving:     e.Conditions.Serving == nil || *e.Conditions.Serving,
		Terminating: e.Conditions.Terminating != nil && *e.Conditions.Terminating,
	}
	if n := len(e.Addresses); n == 0 || n > maxAddresses {
		return y, c.fault([]any{"endpoints", i, "addresses"}, "%d addresses: an endpoint has 1 to %d", n, maxAddresses)
	}
	for j, text := range e.Addresses {
		a, err := c.addr(text, "endpoints", i, "addresses", j)
		if err != nil {
			return y, err
		}
		if packet.FamilyOf(a) != x.Family {
			return y, c.fault([]any{"endpoints", i, "addresses", j}, "%s is not of addressType %s", quote(text), s.AddressType)
		}
		y.Addresses = append(y.Addresses, a)
	}
	if e.NodeName != nil {
		y.NodeName = *e.NodeName
	}
	if e.Zone != nil {
		y.Zone = *e.Zone
	}
	if e.Hostname != nil {
		y.Hostname = *e.Hostname
	}
	if e.Hints != nil {
		for _, z := range e.Hints.ForZones {
			y.ZoneHints = append(y.ZoneHints, z.Name)
		}
		for _, n := range e.Hints.ForNodes {
			y.NodeHints = append(y.NodeHints, n.Name)
		}
	}
	if t := e.TargetRef; t != nil && t.Kind != "" && t.Name != "" {
		ns := t.Namespace
		if ns == "" {
			ns = x.Namespace
		}
		y.TargetRef = t.Kind + "/" + ns + "/" + t.Name
	}
	return y, nil
}
