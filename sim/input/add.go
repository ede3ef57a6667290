package input

import (
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	proxyv1alpha1 "k8s.io/kube-proxy/config/v1alpha1"
)

// add decodes, checks and keeps one object. Kinds nobody needs become a warning.
func (r *reader) add(n *node, kind, version string) error {
	if kind == "Cluster" && strings.HasPrefix(version, "kind.x-k8s.io/") {
		return r.kindCluster(n)
	}
	value, group := known(kind)
	if value == nil || !strings.EqualFold(groupOf(version), group) {
		if !r.objects.quiet() {
			r.objects.ignored(r.file.where(n), kind, version)
		}
		return nil
	}
	if err := r.version(n, kind, version); err != nil {
		return err
	}
	d := r.decoder()
	return r.decodeObject(d, n, kind, value)
}

// decodeObject decodes a known kind from a tree with the positions of d.
func (r *reader) decodeObject(d *decoder, n *node, kind string, value any) error {
	meta := n.get("metadata")
	d.fields = strings.TrimSpace(kind + " " + strings.TrimPrefix(meta.str("namespace")+"/"+meta.str("name"), "/"))
	d.lenient = kind == "KubeProxyConfiguration"
	if err := d.decode(n, reflect.ValueOf(value).Elem(), ""); err != nil {
		return err
	}
	x := &Object{Kind: kind, Value: value, file: r.file, line: n.line, col: n.col}
	if at := d.where(n); n.line != offsetLine {
		x.line, x.col = int32(at.Line), int32(at.Col)
	}
	if m, ok := value.(metav1.Object); ok && !d.lenient {
		x.Name, x.Namespace = m.GetName(), m.GetNamespace()
		if err := d.names(n, x); err != nil {
			return err
		}
	}
	c := checker{d: d, object: x, root: n}
	var err error
	switch v := value.(type) {
	case *corev1.Service:
		x.parsed, err = c.service(v)
	case *discoveryv1.EndpointSlice:
		x.parsed, err = c.slice(v)
	case *corev1.Endpoints:
		x.parsed, err = c.endpoints(v)
	case *corev1.Node:
		x.parsed, err = c.node(v)
	case *networkingv1.ServiceCIDR:
		x.parsed, err = c.serviceCIDR(v)
	case *proxyv1alpha1.KubeProxyConfiguration:
		x.parsed, err = c.config(v)
	case *corev1.ConfigMap:
		if x.Name == "kube-proxy" && x.Namespace == "kube-system" {
			err = r.kubeadm(n, v)
		}
	}
	if err != nil {
		return err
	}
	r.objects.put(x)
	r.added++
	return nil
}

func (d *decoder) names(n *node, x *Object) error {
	meta := n.get("metadata")
	if x.Name == "" {
		at := n
		if meta != nil {
			at = meta
		}
		return d.fault(at, "%s without metadata.name", x.Kind)
	}
	if strings.ContainsAny(x.Name, "/ \t\n\"") || x.Name == "." || x.Name == ".." {
		return d.fault(n.at("metadata", "name"), "metadata.name: %s is no name of a %s", quote(x.Name), x.Kind)
	}
	if strings.ContainsAny(x.Namespace, "/ \t\n\"") {
		return d.fault(n.at("metadata", "namespace"), "metadata.namespace: %s is no name of a namespace", quote(x.Namespace))
	}
	switch {
	case !namespaced(x.Kind):
		x.Namespace = ""
	case x.Namespace == "":
		x.Namespace = "default"
	}
	return nil
}

func groupOf(version string) string {
	g, _, ok := strings.Cut(version, "/")
	if !ok {
		return ""
	}
	return g
}

// version refuses API versions of a known group that differ from the one decoded, and says which one is.
func (r *reader) version(n *node, kind, version string) error {
	want := map[string]string{
		"EndpointSlice": "discovery.k8s.io/v1", "ServiceCIDR": "networking.k8s.io/v1",
		"KubeProxyConfiguration": "kubeproxy.config.k8s.io/v1alpha1",
	}[kind]
	if want == "" {
		want = "v1"
	}
	at := n
	if v := n.get("apiVersion"); v != nil {
		at = v
	}
	switch {
	case version == want, kind == "ServiceCIDR" && version == "networking.k8s.io/v1beta1":
		return nil // v1beta1 ServiceCIDR has the same fields
	case version == "":
		return r.file.fault(r.file.where(at), "%s without apiVersion: write apiVersion: %s", kind, want)
	}
	return r.file.fault(r.file.where(at), "%s of apiVersion %s is not read, only %s", kind, quote(version), want)
}

func (o *Objects) ignored(p Position, kind, version string) {
	if version != "" {
		kind += " (" + version + ")"
	}
	o.warn(p, "%s is ignored: neither kube-proxy nor cluster DNS reads it", kind)
}
