package input

import (
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	proxyv1alpha1 "k8s.io/kube-proxy/config/v1alpha1"
)

// Objects is what a set of inputs holds, in their order. Change it by Apply and Delete, then ask for State again.
type Objects struct {
	list       []*Object // nil where an object was deleted
	index      map[key]int
	warnings   []Warning
	suppressed int // warnings beyond maxWarnings
	applying   bool
}

type key struct{ kind, namespace, name string }

// Object is one object of a kind that the datapath or DNS needs.
type Object struct {
	Kind            string
	Namespace, Name string
	// Value is a pointer to the upstream type: *corev1.Service, Node, Namespace, Pod, ConfigMap, Endpoints,
	// *discoveryv1.EndpointSlice, *networkingv1.ServiceCIDR or *KubeProxyConfiguration. It is as given, not defaulted.
	Value any

	file   *file
	line   int32
	col    int32
	marks  map[string]mark // places of the fields that checks across objects point at
	parsed any             // what State needs of it: *service.Service, *service.EndpointSlice, …
}

type mark struct{ line, col int32 }

// Position is where the object begins.
func (o *Object) Position() Position { return o.file.where(&node{line: o.line, col: o.col}) }

// String is "Service default/web".
func (o *Object) String() string {
	if o.Name == "" {
		return o.Kind
	}
	if o.Namespace == "" {
		return o.Kind + " " + o.Name
	}
	return o.Kind + " " + o.Namespace + "/" + o.Name
}

// All lists the objects of a kind ("" for every kind) in the order of input.
func (o *Objects) All(kind string) []*Object {
	var all []*Object
	for _, x := range o.list {
		if x != nil && (kind == "" || x.Kind == kind) {
			all = append(all, x)
		}
	}
	return all
}

// Get finds an object, or returns nil.
func (o *Objects) Get(kind, namespace, name string) *Object {
	if i, ok := o.index[key{kind, namespace, name}]; ok {
		return o.list[i]
	}
	return nil
}

// Delete removes an object and reports whether there was one.
func (o *Objects) Delete(kind, namespace, name string) bool {
	k := key{kind, namespace, name}
	i, ok := o.index[k]
	if ok {
		o.list[i] = nil
		delete(o.index, k)
	}
	return ok
}

// Clone is a copy that Apply and Delete change on its own; the objects themselves are shared.
func (o *Objects) Clone() *Objects {
	c := &Objects{list: slices.Clone(o.list), index: make(map[key]int, len(o.index)), warnings: slices.Clone(o.warnings), suppressed: o.suppressed}
	for k, v := range o.index {
		c.index[k] = v
	}
	return c
}

// Services lists the Services as given.
func (o *Objects) Services() []*corev1.Service { return values[corev1.Service](o, "Service") }

// EndpointSlices lists the EndpointSlices as given.
func (o *Objects) EndpointSlices() []*discoveryv1.EndpointSlice {
	return values[discoveryv1.EndpointSlice](o, "EndpointSlice")
}

// Nodes lists the Nodes.
func (o *Objects) Nodes() []*corev1.Node { return values[corev1.Node](o, "Node") }

// Pods lists the Pods.
func (o *Objects) Pods() []*corev1.Pod { return values[corev1.Pod](o, "Pod") }

// Namespaces lists the Namespaces.
func (o *Objects) Namespaces() []*corev1.Namespace { return values[corev1.Namespace](o, "Namespace") }

// ConfigMaps lists the ConfigMaps; kube-system/coredns holds the Corefile.
func (o *Objects) ConfigMaps() []*corev1.ConfigMap { return values[corev1.ConfigMap](o, "ConfigMap") }

// Config is the KubeProxyConfiguration as given, bare or from the ConfigMap kube-system/kube-proxy, or nil.
func (o *Objects) Config() *proxyv1alpha1.KubeProxyConfiguration {
	if c := o.config(); c != nil {
		return c.Value.(*proxyv1alpha1.KubeProxyConfiguration)
	}
	return nil
}

func (o *Objects) config() *Object { return o.Get("KubeProxyConfiguration", "", "") }

func values[T any](o *Objects, kind string) []*T {
	var all []*T
	for _, x := range o.list {
		if x != nil && x.Kind == kind {
			all = append(all, x.Value.(*T))
		}
	}
	return all
}

// Warnings lists what reading found odd, in the order of input. State adds those that need all objects.
func (o *Objects) Warnings() []Warning { return slices.Clone(o.warnings) }

// put adds an object or takes the place of its predecessor.
func (o *Objects) put(x *Object) {
	k := key{x.Kind, x.Namespace, x.Name}
	i, ok := o.index[k]
	if !ok {
		o.index[k] = len(o.list)
		o.list = append(o.list, x)
		return
	}
	if !o.applying {
		old := o.list[i]
		if reflect.DeepEqual(old.Value, x.Value) {
			o.warn(x.Position(), "%s stands twice, first at %s, both alike", x, old.Position())
		} else {
			o.warn(x.Position(), "%s stands twice, first at %s: this one takes its place", x, old.Position())
		}
	}
	o.list[i] = x
}

func (o *Objects) warn(p Position, format string, args ...any) {
	if !o.quiet() {
		o.warnings = append(o.warnings, warningf(p, format, args...))
	}
}

// maxWarnings is how many warnings are kept; the others are counted.
const maxWarnings = 200

// quiet reports whether enough warnings were kept, and counts the one that was to come.
func (o *Objects) quiet() bool {
	if len(o.warnings) < maxWarnings {
		return false
	}
	o.suppressed++
	return true
}

// namespaced reports whether objects of a kind live in a namespace.
func namespaced(kind string) bool {
	return !strings.Contains(" Node Namespace ServiceCIDR KubeProxyConfiguration ", " "+kind+" ")
}
