package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// DefaultCorefile is what kubeadm gives a new cluster, but for the words that do not bear on an answer
// (kubernetes cmd/kubeadm/app/phases/addons/dns/manifests.go, v1.37).
const DefaultCorefile = `.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30 {
       disable success cluster.local
       disable denial cluster.local
    }
    loop
    reload
    loadbalance
}
`

// The names under which a cluster's DNS stands.
const (
	systemNamespace = "kube-system"
	configName      = "coredns"  // ConfigMap
	serviceName     = "kube-dns" // Service
)

// Cluster is a Server with what its Pods need to reach it.
type Cluster struct {
	*Server
	Objects     Objects
	Nameservers []netip.Addr // cluster IPs of the Service kube-system/kube-dns; 10.96.0.10, kubeadm's, without one
	Warnings    []string     // what was taken for granted
}

// Load makes the DNS of a cluster from its objects. The Corefile is the one given, else that of the ConfigMap
// kube-system/coredns, else DefaultCorefile. CoreDNS's own addresses, where the Options name none, are those of its first
// Pod. Where the objects hold no Namespace at all, those that hold objects are taken to exist.
func Load(objects Objects, c *Corefile, opt Options) (*Cluster, error) {
	out := &Cluster{Objects: objects}
	if c == nil {
		name, text := "the default Corefile", DefaultCorefile
		for _, m := range objects.ConfigMaps() {
			if t, ok := m.Data["Corefile"]; ok && m.Name == configName && orDefault(m.Namespace) == systemNamespace {
				name, text = "ConfigMap "+systemNamespace+"/"+configName+", Corefile", t
			}
		}
		if text == DefaultCorefile {
			out.warn("no Corefile in the input: that of kubeadm is used")
		}
		var err error
		if c, err = ParseCorefile(name, text); err != nil {
			return nil, err
		}
	}
	if opt.Self == nil {
		opt.Self = self(objects)
	}
	if len(objects.Namespaces()) == 0 {
		if l := assumed(objects); len(l.extra) > 0 {
			out.warn("no Namespace in the input: those of the objects are taken to exist")
			objects = l
		}
	} else {
		out.missingNamespaces()
	}
	if slices := mirrored(objects); len(slices) > 0 {
		objects = withSlices{objects, slices}
	}
	var err error
	if out.Server, err = New(c, objects, opt); err != nil {
		return nil, err
	}
	for _, s := range objects.Services() {
		if s.Name == serviceName && orDefault(s.Namespace) == systemNamespace {
			for _, ip := range append(slices.Clone(s.Spec.ClusterIPs), s.Spec.ClusterIP) {
				if a, ok := parseIP(ip); ok && !slices.Contains(out.Nameservers, a) {
					out.Nameservers = append(out.Nameservers, a)
				}
			}
		}
	}
	if len(out.Nameservers) == 0 {
		out.Nameservers = []netip.Addr{netip.AddrFrom4([4]byte{10, 96, 0, 10})}
	}
	return out, nil
}

func (c *Cluster) warn(format string, args ...any) {
	c.Warnings = append(c.Warnings, "warning: "+fmt.Sprintf(format, args...))
}

// missingNamespaces warns of Services whose namespace is not among the objects: their names do not exist.
func (c *Cluster) missingNamespaces() {
	have := map[string]bool{}
	for _, n := range c.Objects.Namespaces() {
		have[n.Name] = true
	}
	for _, s := range c.Objects.Services() {
		if n := orDefault(s.Namespace); !have[n] {
			have[n] = true
			c.warn("no Namespace %s in the input, so names in it do not exist", n)
		}
	}
}

// self are the addresses of CoreDNS's own Pod: labelled k8s-app=kube-dns, or called coredns or coredns-…, in kube-system; the
// first by name, since which replica answers makes no difference to names.
func self(o Objects) []netip.Addr {
	var first *corev1.Pod
	for _, p := range o.Pods() {
		if orDefault(p.Namespace) != systemNamespace {
			continue
		}
		if p.Labels["k8s-app"] != serviceName && p.Name != configName && !strings.HasPrefix(p.Name, configName+"-") {
			continue
		}
		if p.Status.PodIP != "" && (first == nil || p.Name < first.Name) {
			first = p
		}
	}
	if first == nil {
		return nil
	}
	texts := []string{first.Status.PodIP}
	for _, ip := range first.Status.PodIPs {
		texts = append(texts, ip.IP)
	}
	var out []netip.Addr
	for _, t := range texts {
		if a, ok := parseIP(t); ok && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// withNamespaces are objects with further Namespaces.
type withNamespaces struct {
	Objects
	extra []*corev1.Namespace
}

func (w withNamespaces) Namespaces() []*corev1.Namespace { return w.extra }

// assumed adds a Namespace for each that an object is in.
func assumed(o Objects) withNamespaces {
	w := withNamespaces{Objects: o}
	seen := map[string]bool{}
	add := func(name string) {
		if name = orDefault(name); !seen[name] {
			seen[name] = true
			n := &corev1.Namespace{}
			n.Name = name
			w.extra = append(w.extra, n)
		}
	}
	for _, s := range o.Services() {
		add(s.Namespace)
	}
	for _, p := range o.Pods() {
		add(p.Namespace)
	}
	return w
}
