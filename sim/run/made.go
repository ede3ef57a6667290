package run

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/svclab/svclab/sim/input"
	"github.com/svclab/svclab/sim/scenario"
)

// made writes the Kubernetes objects of a cluster that is made from a few numbers, as a manifest.
func made(c *scenario.Cluster, file string) []input.Source {
	var b strings.Builder
	write := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	doc := func(format string, args ...any) { write("---\n"+format, args...) }
	out := []input.Source{}
	if c.Config.YAML != nil {
		out = append(out, input.Source{Name: file + ": cluster.config", Data: c.Config.YAML})
	} else {
		cidr := "10.244.0.0/16"
		if c.ClusterCIDR.IsValid() {
			cidr = c.ClusterCIDR.String()
		}
		doc("apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nclusterCIDR: %s\n", cidr)
	}
	for i := 1; i <= c.Nodes; i++ {
		labels := ""
		if c.Zones > 0 {
			labels = fmt.Sprintf(", labels: {topology.kubernetes.io/zone: %s}", zoneOf(c, i))
		}
		doc("apiVersion: v1\nkind: Node\nmetadata: {name: node-%d%s}\nspec: {podCIDRs: [10.244.%d.0/24]}\nstatus: {addresses: [{type: InternalIP, address: %s}]}\n",
			i, labels, i, madeNode(i))
	}
	n, next := 0, map[int]int{}
	if c.DNS > 0 {
		madeDNS(write, c, next)
	}
	for i := range c.Services {
		s := &c.Services[i]
		for k := range max(s.Count, 1) {
			name := s.Name
			if s.Count > 1 {
				name = fmt.Sprintf("%s-%d", s.Name, k+1)
			}
			madeService(write, c, s, name, n, next)
			n++
		}
	}
	return append(out, input.Source{Name: file + ": cluster", Data: []byte(b.String())})
}

// madeDNS writes the Service of CoreDNS with its Pods' addresses, as kubeadm names and numbers it.
func madeDNS(write func(string, ...any), c *scenario.Cluster, next map[int]int) {
	write("---\napiVersion: v1\nkind: Service\nmetadata: {name: kube-dns, namespace: kube-system}\nspec:\n  type: ClusterIP\n  clusterIP: %s\n  clusterIPs: [%s]\n  ports:\n", madeDNSAddress, madeDNSAddress)
	write("  - {name: dns, protocol: UDP, port: 53, targetPort: 53}\n  - {name: dns-tcp, protocol: TCP, port: 53, targetPort: 53}\n")
	write("---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: kube-dns-made, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}\naddressType: IPv4\n")
	write("ports:\n- {name: dns, protocol: UDP, port: 53}\n- {name: dns-tcp, protocol: TCP, port: 53}\nendpoints:\n")
	for k := range c.DNS {
		node := k%c.Nodes + 1
		write("- {addresses: [%s], nodeName: node-%d, conditions: {ready: true, serving: true, terminating: false}}\n", madePod(node, next), node)
	}
}

// madeDNSAddress is the cluster IP of kube-dns: the tenth of the Service range, as kubeadm has it.
const madeDNSAddress = "10.96.0.10"

// madePod is the address of a node's next Pod that is an endpoint; those before are for clients.
func madePod(node int, next map[int]int) netip.Addr {
	next[node]++
	a := netip.AddrFrom4([4]byte{10, 244, byte(node), 0})
	for range next[node] + 9 {
		a = a.Next()
	}
	return a
}

func madeNode(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 168, 0, byte(i)}) }

func zoneOf(c *scenario.Cluster, node int) string { return fmt.Sprintf("zone-%d", (node-1)%c.Zones+1) }

// madeService writes a Service and its EndpointSlice. next is the last address given on each node.
func madeService(write func(string, ...any), c *scenario.Cluster, s *scenario.MadeService, name string, n int, next map[int]int) {
	or := func(v, def int) int {
		if v == 0 {
			return def
		}
		return v
	}
	proto := "TCP"
	if s.Protocol != "" {
		proto = strings.ToUpper(s.Protocol)
	}
	kind := s.Type
	if kind == "" {
		kind = "ClusterIP"
	}
	space := "default"
	if s.Namespace != "" {
		space = s.Namespace
	}
	if c.DNS > 0 && n >= 9 {
		n++ // kube-dns has the tenth
	}
	at := fmt.Sprintf("10.96.%d.%d", n/250, n%250+1)
	switch {
	case s.ExternalName != "":
		kind = "ExternalName"
		write("---\napiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: %s}\nspec:\n  type: %s\n  externalName: %s\n", name, space, kind, s.ExternalName)
	default:
		if s.Headless {
			at = "None"
		}
		write("---\napiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: %s}\nspec:\n  type: %s\n  clusterIP: %s\n  clusterIPs: [%s]\n", name, space, kind, at, at)
	}
	var spec strings.Builder
	if s.ExternalPolicy != "" {
		fmt.Fprintf(&spec, "  externalTrafficPolicy: %s\n", s.ExternalPolicy)
	}
	if s.InternalPolicy != "" {
		fmt.Fprintf(&spec, "  internalTrafficPolicy: %s\n", s.InternalPolicy)
	}
	if s.Affinity.Duration > 0 {
		fmt.Fprintf(&spec, "  sessionAffinity: ClientIP\n  sessionAffinityConfig: {clientIP: {timeoutSeconds: %d}}\n", int(s.Affinity.Seconds()))
	}
	if len(s.SourceRanges) > 0 {
		var list []string
		for _, p := range s.SourceRanges {
			list = append(list, p.String())
		}
		fmt.Fprintf(&spec, "  loadBalancerSourceRanges: [%s]\n", strings.Join(list, ", "))
	}
	spec.WriteString("  ports:\n")
	var ports strings.Builder
	for k := range or(s.Ports, 1) {
		pn := ""
		if s.Ports > 1 {
			pn = fmt.Sprintf("p%d", k+1)
		}
		fmt.Fprintf(&spec, "  - {name: %q, protocol: %s, port: %d, targetPort: %d", pn, proto, or(s.Port, 80)+k, or(s.TargetPort, 8080)+k)
		if s.NodePort > 0 && kind != "ClusterIP" {
			fmt.Fprintf(&spec, ", nodePort: %d", s.NodePort+k)
		}
		spec.WriteString("}\n")
		fmt.Fprintf(&ports, "- {name: %q, protocol: %s, port: %d}\n", pn, proto, or(s.TargetPort, 8080)+k)
	}
	if s.LoadBalancerIP.IsValid() {
		fmt.Fprintf(&spec, "status: {loadBalancer: {ingress: [{ip: %s}]}}\n", s.LoadBalancerIP)
	}
	write("%s", spec.String())
	if s.ExternalName != "" {
		return
	}
	write("---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: %s-made, namespace: %s, labels: {kubernetes.io/service-name: %s}}\naddressType: IPv4\n", name, space, name)
	write("ports:\n%s", ports.String())
	if s.Endpoints == 0 {
		write("endpoints: []\n")
		return
	}
	var eps strings.Builder
	eps.WriteString("endpoints:\n")
	for k := range s.Endpoints {
		node := k%c.Nodes + 1
		if len(s.On) > 0 {
			_, _ = fmt.Sscanf(s.On[k%len(s.On)], "node-%d", &node)
		}
		addr := madePod(node, next)
		if s.HostNetwork {
			addr = madeNode(node)
		}
		fmt.Fprintf(&eps, "- {addresses: [%s], nodeName: node-%d, conditions: {ready: true, serving: true, terminating: false}", addr, node)
		if c.Zones > 0 {
			fmt.Fprintf(&eps, ", zone: %s", zoneOf(c, node))
			if s.Hints {
				fmt.Fprintf(&eps, ", hints: {forZones: [{name: %s}]}", zoneOf(c, node))
			}
		}
		eps.WriteString("}\n")
	}
	write("%s", eps.String())
}
