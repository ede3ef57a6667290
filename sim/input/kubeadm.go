package input

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	proxyv1alpha1 "k8s.io/kube-proxy/config/v1alpha1"
)

// kubeadm reads the configuration in the ConfigMap kube-system/kube-proxy, as kubeadm writes it.
func (r *reader) kubeadm(n *node, m *corev1.ConfigMap) error {
	text, ok := m.Data["config.conf"]
	if !ok {
		r.objects.warn(r.file.where(n), "ConfigMap kube-system/kube-proxy has no key config.conf: no configuration is read from it")
		return nil
	}
	return r.embedded(n.at("data", "config.conf"), text, `key "config.conf"`)
}

// kindCluster reads the configuration out of the patches of a kind cluster's file.
func (r *reader) kindCluster(n *node) error {
	found := false
	patches := func(list *node, what string) error {
		if list == nil || list.kind != kindSeq {
			return nil
		}
		for _, p := range list.kids {
			if p.kind == kindString && strings.Contains(p.text, "KubeProxyConfiguration") {
				found = true
				if err := r.embedded(p, p.text, what); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := patches(n.get("kubeadmConfigPatches"), "kubeadmConfigPatches"); err != nil {
		return err
	}
	if nodes := n.get("nodes"); nodes != nil && nodes.kind == kindSeq {
		for _, x := range nodes.kids {
			if err := patches(x.get("kubeadmConfigPatches"), "kubeadmConfigPatches"); err != nil {
				return err
			}
		}
	}
	if !found {
		r.objects.ignored(r.file.where(n), "Cluster", n.str("apiVersion"))
	}
	return nil
}

// embedded reads a KubeProxyConfiguration that stands inside a string of the file. In a literal block its lines are
// lines of the file; else every position is that of the string.
func (r *reader) embedded(at *node, text, what string) error {
	outer := r.file.where(at)
	inner := &file{name: r.file.name, data: []byte(text)}
	where := func(n *node) Position {
		if at.literal && n.line > 0 {
			return Position{File: outer.File, Line: outer.Line + int(n.line)}
		}
		return outer
	}
	for _, doc := range inner.cut() {
		tree, err := doc.parseYAML(new(arena))
		if err != nil {
			p, ok := err.(*ParseError)
			if !ok {
				return err
			}
			e := r.file.fault(where(&node{line: int32(p.Line)}), "%s: %s", what, p.Msg)
			if !at.literal && p.Line > 0 {
				e.Msg = strings.Replace(e.Msg, what, what+" line "+itoa(p.Line), 1)
			}
			return e
		}
		if tree.kind != kindMap || tree.str("kind") != "KubeProxyConfiguration" {
			continue
		}
		d := &decoder{file: r.file, where: where, objects: r.objects, nested: !at.literal}
		if err := r.decodeObject(d, tree, "KubeProxyConfiguration", new(proxyv1alpha1.KubeProxyConfiguration)); err != nil {
			return err
		}
	}
	return nil
}
