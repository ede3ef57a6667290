package input

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"net/netip"

	"github.com/svclab/svclab/datapath/service"
)

// node checks a Node.
func (c *checker) node(n *corev1.Node) (*service.Node, error) {
	x := &service.Node{Name: c.object.Name, Labels: n.Labels}
	for i, a := range n.Status.Addresses {
		if a.Type != corev1.NodeInternalIP && a.Type != corev1.NodeExternalIP {
			continue
		}
		ip, err := c.addr(a.Address, "status", "addresses", i, "address")
		if err != nil {
			return nil, err
		}
		if a.Type == corev1.NodeInternalIP {
			x.InternalIPs = append(x.InternalIPs, ip)
		} else {
			x.ExternalIPs = append(x.ExternalIPs, ip)
		}
	}
	var err error
	if len(n.Spec.PodCIDRs) > 0 {
		x.PodCIDRs, err = prefixesOf(c, n.Spec.PodCIDRs, "spec", "podCIDRs")
	} else if n.Spec.PodCIDR != "" {
		var p netip.Prefix
		p, err = c.prefix(n.Spec.PodCIDR, "spec", "podCIDR")
		x.PodCIDRs = append(x.PodCIDRs, p)
	}
	if err != nil {
		return nil, err
	}
	if len(x.InternalIPs) == 0 {
		c.warn(nil, "no InternalIP: the node has no address besides loopback")
	}
	return x, nil
}

func (c *checker) serviceCIDR(s *networkingv1.ServiceCIDR) ([]netip.Prefix, error) {
	if len(s.Spec.CIDRs) == 0 || len(s.Spec.CIDRs) > 2 {
		return nil, c.fault([]any{"spec", "cidrs"}, "%d ranges: a ServiceCIDR has one, or one of each family", len(s.Spec.CIDRs))
	}
	return prefixesOf(c, s.Spec.CIDRs, "spec", "cidrs")
}
