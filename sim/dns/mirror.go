package dns

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svclab/svclab/sim/input"
)

// withSlices are objects with further EndpointSlices.
type withSlices struct {
	Objects
	extra []*discoveryv1.EndpointSlice
}

func (w withSlices) EndpointSlices() []*discoveryv1.EndpointSlice {
	return append(w.Objects.EndpointSlices(), w.extra...)
}

// mirrored are the EndpointSlices that a cluster makes of legacy Endpoints, of which CoreDNS reads the slices alone: for a
// Service without selector (kubernetes pkg/controller/endpointslicemirroring) that has no slices among the objects.
func mirrored(o Objects) (out []*discoveryv1.EndpointSlice) {
	for {
		w, ok := o.(withNamespaces)
		if !ok {
			break
		}
		o = w.Objects
	}
	in, ok := o.(*input.Objects)
	if !ok {
		return nil
	}
	has, bare := map[string]bool{}, map[string]bool{}
	for _, s := range in.EndpointSlices() {
		has[s.Labels[discoveryv1.LabelServiceName]+"."+orDefault(s.Namespace)] = true
	}
	for _, s := range in.Services() {
		bare[s.Name+"."+orDefault(s.Namespace)] = len(s.Spec.Selector) == 0
	}
	for _, x := range in.All("Endpoints") {
		e, ok := x.Value.(*corev1.Endpoints)
		key := x.Name + "." + x.Namespace
		if !ok || !bare[key] || has[key] || e.Labels[discoveryv1.LabelSkipMirror] == "true" {
			continue
		}
		for _, sub := range e.Subsets {
			s := &discoveryv1.EndpointSlice{}
			s.Namespace = x.Namespace
			s.Labels = map[string]string{}
			for k, v := range e.Labels {
				s.Labels[k] = v
			}
			s.Labels[discoveryv1.LabelServiceName] = x.Name
			for _, p := range sub.Ports {
				s.Ports = append(s.Ports, discoveryv1.EndpointPort{Name: &p.Name, Port: &p.Port, Protocol: &p.Protocol})
			}
			add := func(list []corev1.EndpointAddress, ready bool) {
				for _, a := range list {
					s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
						Addresses: []string{a.IP}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}, Hostname: &a.Hostname, TargetRef: a.TargetRef,
					})
				}
			}
			add(sub.Addresses, true)
			add(sub.NotReadyAddresses, false)
			out = append(out, s)
		}
	}
	return out
}
