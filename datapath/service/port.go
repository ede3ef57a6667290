package service

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// Labels that make kube-proxy overlook objects: its informers select Services without the first and EndpointSlices without
// the second (cmd/kube-proxy/app/server.go, Run, v1.37). The first on a slice and the second on a Service mean nothing to
// it, unlike before 1.37, when both labels counted on both kinds.
const (
	LabelProxyName = "service.kubernetes.io/service-proxy-name"
	LabelHeadless  = "service.kubernetes.io/headless"
)

// LabelZone is the node label that zone hints are compared with.
const LabelZone = "topology.kubernetes.io/zone"

// Port is one port of a Service as one family's proxier sees it: every front end that reaches it, and the policies.
// Only front ends of the family are left (pkg/proxy/serviceport.go, v1.37).
type Port struct {
	PortName
	ClusterIP           netip.Addr
	Port                uint16
	NodePort            uint16 // 0 without
	ExternalIPs         []netip.Addr
	LoadBalancerIPs     []netip.Addr   // of ingresses with ipMode VIP
	SourceRanges        []netip.Prefix // loadBalancerSourceRanges
	AffinityTimeout     time.Duration  // 0 without session affinity
	HealthCheckNodePort uint16         // of a LoadBalancer with external policy Local, else 0
	ExternalLocal       bool           // externalTrafficPolicy Local, of a Service that accepts external traffic
	InternalLocal       bool
}

// ExternallyAccessible reports whether anything but the cluster IP leads to the port.
func (p *Port) ExternallyAccessible() bool {
	return p.NodePort != 0 || len(p.LoadBalancerIPs) != 0 || len(p.ExternalIPs) != 0
}

// UsesClusterEndpoints reports whether any traffic is spread over all endpoints: internal traffic unless its policy is
// Local, and, even with external policy Local, external addresses reached from this node or its Pods.
func (p *Port) UsesClusterEndpoints() bool { return !p.InternalLocal || p.ExternallyAccessible() }

// UsesLocalEndpoints reports whether any traffic is kept to endpoints on this node.
func (p *Port) UsesLocalEndpoints() bool {
	return p.InternalLocal || p.ExternalLocal && p.ExternallyAccessible()
}

// equal reports whether two ports ask for the same rules; target ports are no part of it, endpoints are.
func (p *Port) equal(q *Port) bool {
	return p.PortName == q.PortName && p.ClusterIP == q.ClusterIP && p.Port == q.Port && p.NodePort == q.NodePort &&
		slices.Equal(p.ExternalIPs, q.ExternalIPs) && slices.Equal(p.LoadBalancerIPs, q.LoadBalancerIPs) &&
		slices.Equal(p.SourceRanges, q.SourceRanges) && p.AffinityTimeout == q.AffinityTimeout &&
		p.HealthCheckNodePort == q.HealthCheckNodePort && p.ExternalLocal == q.ExternalLocal && p.InternalLocal == q.InternalLocal
}

// SamePorts reports whether two lists of ports, both in the order Ports gives, ask for the same rules.
func SamePorts(a, b []Port) bool {
	return slices.EqualFunc(a, b, func(x, y Port) bool { return x.equal(&y) })
}

// Ignored is a Service that kube-proxy makes no rules for, and why.
type Ignored struct {
	Name
	Reason string
}

// Skip says why kube-proxy makes no rules for the Service, "" if it makes some.
func (s *Service) Skip() string {
	switch {
	case hasLabel(s.Labels, LabelProxyName):
		return "label " + LabelProxyName + ": another proxy serves it"
	case s.Type == ExternalName:
		return "type ExternalName: a DNS alias, without cluster IP"
	case s.Headless || len(s.ClusterIPs) == 0:
		return "headless: clients reach its endpoints by DNS, not by a cluster IP"
	}
	return ""
}

func hasLabel(m map[string]string, key string) bool {
	_, ok := m[key]
	return ok
}

// Ignored lists the Services without rules in any family, by name.
func (s *State) Ignored() []Ignored {
	var out []Ignored
	for i := range s.Services {
		if r := s.Services[i].Skip(); r != "" {
			out = append(out, Ignored{s.Services[i].Name, r})
		}
	}
	slices.SortFunc(out, func(a, b Ignored) int { return a.Name.Compare(b.Name) })
	return out
}

// Ports lists what one family's proxier makes rules for, in the order of Compare. Of two Services or ports of one name
// the later counts, as in kube-proxy's maps.
func (s *State) Ports(f packet.Family) []Port {
	seen := make(map[PortName]int, len(s.Services))
	out := make([]Port, 0, len(s.Services))
	for i := range s.Services {
		for _, p := range s.Services[i].FamilyPorts(f) {
			if j, dup := seen[p.PortName]; dup {
				out[j] = p
				continue
			}
			seen[p.PortName] = len(out)
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b Port) int { return a.PortName.Compare(b.PortName) })
	return out
}

// FamilyPorts lists the ports of one Service in one family, in the order of Compare; none when the Service is skipped
// or has no cluster IP of the family.
func (s *Service) FamilyPorts(f packet.Family) []Port {
	if s.Skip() != "" {
		return nil
	}
	ip := s.clusterIP(f)
	if !ip.IsValid() {
		return nil
	}
	base := Port{ClusterIP: ip, AffinityTimeout: s.AffinityTimeout, ExternalLocal: s.externalLocal(), InternalLocal: s.InternalPolicy == PolicyLocal}
	for _, a := range s.ExternalIPs {
		if packet.FamilyOf(a) == f {
			base.ExternalIPs = append(base.ExternalIPs, a)
		}
	}
	for _, in := range s.LoadBalancerIngress {
		if in.IP.IsValid() && !in.Proxy && packet.FamilyOf(in.IP) == f {
			base.LoadBalancerIPs = append(base.LoadBalancerIPs, in.IP)
		}
	}
	for _, r := range s.LoadBalancerSourceRanges {
		if packet.FamilyOf(r.Addr()) == f {
			base.SourceRanges = append(base.SourceRanges, r.Masked())
		}
	}
	if slices.ContainsFunc(base.SourceRanges, func(r netip.Prefix) bool { return r.Bits() == 0 }) {
		base.SourceRanges = nil // a range of everything is as good as none
	}
	if s.Type == LoadBalancer && base.ExternalLocal {
		base.HealthCheckNodePort = s.HealthCheckNodePort
	}
	out := make([]Port, 0, len(s.Ports))
	for _, sp := range s.Ports {
		p := base
		p.PortName = PortName{s.Name, sp.Name, sp.Protocol}
		p.Port, p.NodePort = sp.Port, sp.NodePort
		out = append(out, p)
	}
	slices.SortStableFunc(out, func(a, b Port) int { return a.PortName.Compare(b.PortName) })
	return out
}

// externalLocal applies externalTrafficPolicy only to Services that take external traffic at all
// (pkg/api/v1/service/util.go, ExternalPolicyLocal).
func (s *Service) externalLocal() bool {
	if s.ExternalPolicy != PolicyLocal {
		return false
	}
	return s.Type == LoadBalancer || s.Type == NodePort || len(s.ExternalIPs) > 0
}

func (s *Service) clusterIP(f packet.Family) netip.Addr {
	for _, a := range s.ClusterIPs {
		if packet.FamilyOf(a) == f {
			return a
		}
	}
	return netip.Addr{}
}

// Compare orders names as "namespace/name" text.
func (n Name) Compare(m Name) int { return cmp.Compare(n.String(), m.String()) }

// Compare orders port names as "namespace/name:port" text, then by protocol: the order in which rules that several
// Services share are written here, where kube-proxy's own is random.
func (n PortName) Compare(m PortName) int {
	if c := cmp.Compare(n.String(), m.String()); c != 0 {
		return c
	}
	return cmp.Compare(n.Protocol.String(), m.Protocol.String())
}
