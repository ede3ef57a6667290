package input

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

// defaultAffinityTimeout is what the API server gives sessionAffinity ClientIP: three hours
// (k8s.io/api/core/v1, DefaultClientIPServiceAffinitySeconds).
const defaultAffinityTimeout = time.Duration(corev1.DefaultClientIPServiceAffinitySeconds) * time.Second

// service checks a Service and defaults it as the API server does (pkg/apis/core/v1/defaults.go, SetDefaults_Service).
func (c *checker) service(s *corev1.Service) (*service.Service, error) {
	x := &service.Service{
		Name:   service.Name{Namespace: c.object.Namespace, Name: c.object.Name},
		Labels: s.Labels, Annotations: s.Annotations, Selector: s.Spec.Selector,
		ExternalName: s.Spec.ExternalName, PublishNotReady: s.Spec.PublishNotReadyAddresses,
		AllocateNodePorts: s.Spec.AllocateLoadBalancerNodePorts == nil || *s.Spec.AllocateLoadBalancerNodePorts,
	}
	for _, f := range []func(*service.Service, *corev1.ServiceSpec) error{
		c.serviceType, c.clusterIPs, c.servicePorts, c.policies, c.affinity, c.externalAddresses,
	} {
		if err := f(x, &s.Spec); err != nil {
			return nil, err
		}
	}
	return x, c.ingress(x, s.Status.LoadBalancer.Ingress)
}

func (c *checker) serviceType(x *service.Service, s *corev1.ServiceSpec) error {
	x.Type = service.Type(s.Type)
	if s.Type == "" {
		x.Type = service.ClusterIP
	}
	return c.oneOf(string(x.Type), []string{"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"}, "spec", "type")
}

// clusterIPs reads clusterIP and clusterIPs, which must agree, and the families, which follow from them.
func (c *checker) clusterIPs(x *service.Service, s *corev1.ServiceSpec) error {
	for i, f := range s.IPFamilies {
		if err := c.oneOf(string(f), []string{"IPv4", "IPv6"}, "spec", "ipFamilies", i); err != nil {
			return err
		}
		if f == corev1.IPv4Protocol {
			x.IPFamilies = append(x.IPFamilies, packet.IPv4)
		} else {
			x.IPFamilies = append(x.IPFamilies, packet.IPv6)
		}
	}
	list, field := s.ClusterIPs, "clusterIPs"
	if len(list) == 0 && s.ClusterIP != "" {
		list, field = []string{s.ClusterIP}, "clusterIP"
	}
	if len(list) == 0 {
		if x.Type != service.ExternalName {
			c.warn([]any{"spec"}, "no clusterIP, so kube-proxy makes no rules: the API server would allocate one")
		}
		return nil
	}
	if s.ClusterIP != "" && s.ClusterIP != list[0] {
		return c.fault([]any{"spec", "clusterIPs", 0}, "%s is not clusterIP %s", quote(list[0]), quote(s.ClusterIP))
	}
	path := func(i int) []any {
		if field == "clusterIP" {
			return []any{"spec", field}
		}
		return []any{"spec", field, i}
	}
	if x.Type == service.ExternalName {
		c.warn(path(0), "clusterIP %s of a Service of type ExternalName, which the API server refuses and kube-proxy passes over", list[0])
		return nil
	}
	if list[0] == corev1.ClusterIPNone {
		x.Headless = true
		if x.Type != service.ClusterIP {
			return c.fault(path(0), "a headless Service (None) must be of type ClusterIP, not %s", x.Type)
		}
		return nil
	}
	for i, text := range list {
		if i > 1 {
			return c.fault(path(i), "%d cluster IPs: a Service has at most one of each family", len(list))
		}
		a, err := c.addr(text, path(i)...)
		if err != nil {
			return err
		}
		if i == 1 && packet.FamilyOf(a) == packet.FamilyOf(x.ClusterIPs[0]) {
			return c.fault(path(i), "%s and %s are of one family", quote(list[0]), quote(text))
		}
		if i < len(x.IPFamilies) && x.IPFamilies[i] != packet.FamilyOf(a) {
			return c.fault(path(i), "%s is not of the family %s that ipFamilies[%d] names", quote(text), s.IPFamilies[i], i)
		}
		if i >= len(x.IPFamilies) {
			x.IPFamilies = append(x.IPFamilies, packet.FamilyOf(a))
		}
		x.ClusterIPs = append(x.ClusterIPs, a)
		c.mark("clusterIP "+a.String(), path(i)...)
	}
	return nil
}

func (c *checker) servicePorts(x *service.Service, s *corev1.ServiceSpec) error {
	if len(s.Ports) == 0 && !x.Headless && x.Type != service.ExternalName {
		return c.fault([]any{"spec", "ports"}, "a Service of type %s needs a port", x.Type)
	}
	type number struct {
		port  int32
		proto packet.Protocol
	}
	names, numbers := map[string]int{}, map[number]int{}
	for i, p := range s.Ports {
		at := func(field string) []any { return []any{"spec", "ports", i, field} }
		port, err := c.port(p.Port, false, at("port")...)
		if err != nil {
			return err
		}
		nodePort, err := c.port(p.NodePort, true, at("nodePort")...)
		if err != nil {
			return err
		}
		proto, err := c.protocol(string(p.Protocol), at("protocol")...)
		if err != nil {
			return err
		}
		if p.Name == "" && len(s.Ports) > 1 {
			return c.fault([]any{"spec", "ports", i}, "a Service with several ports must name each")
		}
		if first, ok := names[p.Name]; ok {
			return c.fault(at("name"), "%s is also the name of ports[%d]", quote(p.Name), first)
		}
		if first, ok := numbers[number{p.Port, proto}]; ok {
			return c.fault(at("port"), "%d/%s is also ports[%d]", p.Port, strings.ToUpper(proto.String()), first)
		}
		names[p.Name], numbers[number{p.Port, proto}] = i, i
		target, err := c.targetPort(p, i)
		if err != nil {
			return err
		}
		if nodePort != 0 {
			if x.Type != service.NodePort && x.Type != service.LoadBalancer {
				c.warn(at("nodePort"), "nodePort %d on a Service of type %s, which the API server refuses", nodePort, x.Type)
			}
			name := "nodePort " + strconv.Itoa(int(nodePort)) + "/" + strings.ToUpper(proto.String())
			if c.marked(name) {
				return c.fault(at("nodePort"), "%d/%s stands twice in the Service", nodePort, strings.ToUpper(proto.String()))
			}
			c.mark(name, at("nodePort")...)
		}
		x.Ports = append(x.Ports, service.ServicePort{Name: p.Name, Protocol: proto, Port: port, NodePort: nodePort, TargetPort: target})
	}
	return nil
}

func (c *checker) targetPort(p corev1.ServicePort, i int) (string, error) {
	t := p.TargetPort
	if t.Type == 1 { // a string
		if t.StrVal == "" {
			return strconv.Itoa(int(p.Port)), nil
		}
		if len(t.StrVal) > 15 || strings.Trim(t.StrVal, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || strings.Trim(t.StrVal, "0123456789-") == "" {
			hint := ""
			if strings.Trim(t.StrVal, "0123456789") == "" {
				hint = ": a number in quotes is a name"
			}
			return "", c.fault([]any{"spec", "ports", i, "targetPort"}, "%s is no port name (1 to 15 of a-z, 0-9 and -, with a letter)%s", quote(t.StrVal), hint)
		}
		return t.StrVal, nil
	}
	if t.IntVal == 0 {
		t.IntVal = p.Port
	}
	if _, err := c.port(t.IntVal, false, "spec", "ports", i, "targetPort"); err != nil {
		return "", err
	}
	return strconv.Itoa(int(t.IntVal)), nil
}

func (c *checker) policies(x *service.Service, s *corev1.ServiceSpec) error {
	x.ExternalPolicy = service.PolicyCluster
	if s.ExternalTrafficPolicy != "" {
		x.ExternalPolicy = service.TrafficPolicy(s.ExternalTrafficPolicy)
		if err := c.oneOf(string(x.ExternalPolicy), []string{"Cluster", "Local"}, "spec", "externalTrafficPolicy"); err != nil {
			return err
		}
	}
	x.InternalPolicy = service.PolicyCluster
	if s.InternalTrafficPolicy != nil && *s.InternalTrafficPolicy != "" {
		x.InternalPolicy = service.TrafficPolicy(*s.InternalTrafficPolicy)
		if err := c.oneOf(string(x.InternalPolicy), []string{"Cluster", "Local"}, "spec", "internalTrafficPolicy"); err != nil {
			return err
		}
	}
	if s.TrafficDistribution != nil && *s.TrafficDistribution != "" {
		x.TrafficDistribution = *s.TrafficDistribution
		if err := c.oneOf(x.TrafficDistribution, []string{"PreferClose", "PreferSameZone", "PreferSameNode"}, "spec", "trafficDistribution"); err != nil {
			return err
		}
	}
	var err error
	x.HealthCheckNodePort, err = c.port(s.HealthCheckNodePort, true, "spec", "healthCheckNodePort")
	return err
}

func (c *checker) affinity(x *service.Service, s *corev1.ServiceSpec) error {
	switch s.SessionAffinity {
	case "", corev1.ServiceAffinityNone:
		return nil
	case corev1.ServiceAffinityClientIP:
	default:
		return c.oneOf(string(s.SessionAffinity), []string{"None", "ClientIP"}, "spec", "sessionAffinity")
	}
	x.AffinityTimeout = defaultAffinityTimeout
	if a := s.SessionAffinityConfig; a != nil && a.ClientIP != nil && a.ClientIP.TimeoutSeconds != nil {
		v := *a.ClientIP.TimeoutSeconds
		if v < 1 || v > 86400 {
			return c.fault([]any{"spec", "sessionAffinityConfig", "clientIP", "timeoutSeconds"}, "%d is not between 1 and 86400", v)
		}
		x.AffinityTimeout = time.Duration(v) * time.Second
	}
	return nil
}

func (c *checker) externalAddresses(x *service.Service, s *corev1.ServiceSpec) error {
	for i, text := range s.ExternalIPs {
		a, err := c.addr(text, "spec", "externalIPs", i)
		if err != nil {
			return err
		}
		x.ExternalIPs = append(x.ExternalIPs, a)
	}
	for i, text := range s.LoadBalancerSourceRanges {
		p, err := c.prefix(strings.TrimSpace(text), "spec", "loadBalancerSourceRanges", i)
		if err != nil {
			return err
		}
		x.LoadBalancerSourceRanges = append(x.LoadBalancerSourceRanges, p)
	}
	if s.LoadBalancerIP != "" {
		if _, err := c.addr(s.LoadBalancerIP, "spec", "loadBalancerIP"); err != nil {
			return err
		}
	}
	if x.Type == service.ExternalName && s.ExternalName == "" {
		return c.fault([]any{"spec", "externalName"}, "a Service of type ExternalName needs a name")
	}
	return nil
}

func (c *checker) ingress(x *service.Service, list []corev1.LoadBalancerIngress) error {
	for i, in := range list {
		y := service.Ingress{Hostname: in.Hostname}
		if in.IP != "" {
			var err error
			if y.IP, err = c.addr(in.IP, "status", "loadBalancer", "ingress", i, "ip"); err != nil {
				return err
			}
		}
		if in.IPMode != nil {
			if err := c.oneOf(string(*in.IPMode), []string{"VIP", "Proxy"}, "status", "loadBalancer", "ingress", i, "ipMode"); err != nil {
				return err
			}
			y.Proxy = *in.IPMode == corev1.LoadBalancerIPModeProxy
		}
		x.LoadBalancerIngress = append(x.LoadBalancerIngress, y)
	}
	return nil
}

func prefixesOf(c *checker, list []string, path ...any) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for i, text := range list {
		p, err := c.prefix(text, append(append([]any(nil), path...), i)...)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}
