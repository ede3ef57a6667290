package dns

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// filter is what one kubernetes plugin asks the API server for.
type filter struct {
	labels          labels.Selector // on Services, EndpointSlices and Pods; nil for all
	namespaceLabels labels.Selector // on Namespaces
	endpoints, pods bool            // whether these are watched at all
}

// store is what the kubernetes plugin keeps of the objects, with its indexes (plugin/kubernetes/controller.go, object/).
type store struct {
	namespaces map[string]bool
	services   map[string]*serviceEntry // by name.namespace
	byIP       map[string][]*serviceEntry
	slices     map[string][]*sliceEntry // by name.namespace of the Service their label names
	byAddr     map[string][]*sliceEntry
	pods       map[string][]string // namespaces of the Pods that have an address, by its text
}

type serviceEntry struct {
	name, namespace string
	clusterIPs      []string
	external        bool // of type ExternalName
	externalName    string
	ports           []portEntry
}

func (s *serviceEntry) headless() bool {
	return len(s.clusterIPs) > 0 && s.clusterIPs[0] == corev1.ClusterIPNone
}

// portEntry is a named port. An object without ports has one of the number -1, which stands in no SRV record.
type portEntry struct {
	name, protocol string
	port           int32
}

type sliceEntry struct {
	index     string // name.namespace of its Service; ".namespace" without the label
	namespace string
	addresses []addressEntry
	ports     []portEntry
}

type addressEntry struct {
	ip, hostname, target, zone string
}

var anyLabels = labels.Everything()

// newStore fills the indexes and the defaults that an API server fills in.
func newStore(o Objects, f filter) *store {
	s := &store{
		namespaces: map[string]bool{}, services: map[string]*serviceEntry{}, byIP: map[string][]*serviceEntry{},
		slices: map[string][]*sliceEntry{}, byAddr: map[string][]*sliceEntry{}, pods: map[string][]string{},
	}
	pick, pickNamespace := f.labels, f.namespaceLabels
	if pick == nil {
		pick = anyLabels
	}
	if pickNamespace == nil {
		pickNamespace = anyLabels
	}
	for _, n := range o.Namespaces() {
		if pickNamespace.Matches(labels.Set(n.Labels)) {
			s.namespaces[n.Name] = true
		}
	}
	for _, v := range o.Services() {
		if pick.Matches(labels.Set(v.Labels)) {
			s.service(v)
		}
	}
	if f.endpoints {
		for _, v := range o.EndpointSlices() {
			if pick.Matches(labels.Set(v.Labels)) {
				s.slice(v)
			}
		}
	}
	if f.pods {
		for _, p := range o.Pods() {
			if pick.Matches(labels.Set(p.Labels)) {
				s.pod(p)
			}
		}
	}
	return s
}

// orDefault is the namespace an object without one is in.
func orDefault(namespace string) string {
	if namespace == "" {
		return corev1.NamespaceDefault
	}
	return namespace
}

func (s *store) service(v *corev1.Service) {
	e := &serviceEntry{
		name: v.Name, namespace: orDefault(v.Namespace), clusterIPs: v.Spec.ClusterIPs,
		external: v.Spec.Type == corev1.ServiceTypeExternalName, externalName: v.Spec.ExternalName,
	}
	if len(e.clusterIPs) == 0 && v.Spec.ClusterIP != "" {
		e.clusterIPs = []string{v.Spec.ClusterIP}
	}
	for _, p := range v.Spec.Ports {
		e.ports = append(e.ports, portEntry{p.Name, protocol(p.Protocol), p.Port})
	}
	if len(e.ports) == 0 {
		e.ports = []portEntry{{port: -1}}
	}
	s.services[e.name+"."+e.namespace] = e
	for _, ip := range e.clusterIPs {
		s.byIP[ip] = append(s.byIP[ip], e)
	}
}

func protocol(p corev1.Protocol) string {
	if p == "" {
		return string(corev1.ProtocolTCP)
	}
	return string(p)
}

// maxTarget is the longest Pod name that is taken for a label.
const maxTarget = 63

func (s *store) slice(v *discoveryv1.EndpointSlice) {
	namespace := orDefault(v.Namespace)
	e := &sliceEntry{index: v.Labels[discoveryv1.LabelServiceName] + "." + namespace, namespace: namespace}
	for _, p := range v.Ports {
		x := portEntry{port: -1, protocol: string(corev1.ProtocolTCP)}
		if p.Port != nil {
			x.port = *p.Port
		}
		if p.Name != nil {
			x.name = *p.Name
		}
		if p.Protocol != nil {
			x.protocol = protocol(*p.Protocol)
		}
		e.ports = append(e.ports, x)
	}
	if len(e.ports) == 0 {
		e.ports = []portEntry{{port: -1}}
	}
	seen := map[string]bool{}
	for _, end := range v.Endpoints {
		if r := end.Conditions.Ready; r != nil && !*r {
			continue // nil means unknown, which counts as ready; publishNotReadyAddresses has made it true already
		}
		for _, ip := range end.Addresses {
			a := addressEntry{ip: ip}
			if end.Hostname != nil {
				a.hostname = *end.Hostname
			}
			if end.Zone != nil {
				a.zone = strings.ToLower(*end.Zone)
			}
			if end.TargetRef != nil && len(end.TargetRef.Name) <= maxTarget {
				a.target = end.TargetRef.Name
			}
			e.addresses = append(e.addresses, a)
			if !seen[ip] {
				seen[ip] = true
				s.byAddr[ip] = append(s.byAddr[ip], e)
			}
		}
	}
	s.slices[e.index] = append(s.slices[e.index], e)
}

// pod keeps a Pod that is neither over nor going (plugin/kubernetes/controller.go, podListFunc; object/pod.go).
func (s *store) pod(p *corev1.Pod) {
	switch p.Status.Phase {
	case corev1.PodSucceeded, corev1.PodFailed, corev1.PodUnknown:
		return
	}
	if t := p.DeletionTimestamp; t != nil && !t.IsZero() {
		return
	}
	ips := []string{p.Status.PodIP}
	for _, x := range p.Status.PodIPs {
		ips = append(ips, x.IP)
	}
	for i, ip := range ips {
		if ip != "" && (i != 1 || ip != ips[0]) {
			s.pods[ip] = append(s.pods[ip], orDefault(p.Namespace))
		}
	}
}
