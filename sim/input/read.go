package input

import (
	"bytes"

	"go.yaml.in/yaml/v4"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	proxyv1alpha1 "k8s.io/kube-proxy/config/v1alpha1"
)

// Source is one input: a file's content and the name it is called by in messages ("-" is standard input). With Node,
// the objects are those of a part of a YAML file that something else has parsed (a scenario's objects, a step's apply);
// Data is then the whole of that file, for the lines that messages show, or nil.
type Source struct {
	Name string
	Data []byte
	Node *yaml.Node
}

// maxFaults is the number of faults after which reading stops: one missing bracket can make thousands.
const maxFaults = 20

// Read reads manifests: YAML of any number of documents, JSON of any number of values, lists of both. The error is a
// *ParseError, or Errors of several. Data must not be changed afterwards.
func Read(sources []Source) (*Objects, error) {
	o := &Objects{index: map[key]int{}}
	return o, o.read(sources)
}

// Apply reads objects like Read and puts each in the place of the object of its kind, namespace and name, or at the end.
func (o *Objects) Apply(sources ...Source) error {
	replaced := o.applying
	o.applying = true
	defer func() { o.applying = replaced }()
	return o.read(sources)
}

func (o *Objects) read(sources []Source) error {
	var errs Errors
	for _, s := range sources {
		errs = append(errs, o.readFile(s)...)
		if len(errs) >= maxFaults {
			errs = errs[:maxFaults]
			break
		}
	}
	switch len(errs) {
	case 0:
		return nil
	case 1:
		return errs[0]
	}
	return errs
}

func (o *Objects) readFile(s Source) Errors {
	name := s.Name
	if name == "-" || name == "" {
		name = "<stdin>"
	}
	f := &file{name: name, data: s.Data}
	if len(f.data) > 1<<31-1 {
		return Errors{f.fault(Position{File: name}, "%d bytes: files end at 2 GiB", len(f.data))}
	}
	r := reader{objects: o, file: f}
	if s.Node != nil {
		return r.readNode(s.Node)
	}
	if err := f.scan(); err != nil {
		return Errors{err}
	}
	if err := f.manifests(); err != nil {
		return Errors{err}
	}
	if trimmed := bytes.TrimLeft(bytes.TrimPrefix(f.data, bom), " \t\r\n"); len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[') {
		if !bytes.Contains(f.data, []byte("\n---")) {
			r.readJSON()
			return r.errs
		}
	}
	docs := f.cut()
	if len(docs) == 0 {
		o.warn(Position{File: name}, "holds no objects")
	}
	for _, d := range docs {
		if r.done() {
			break
		}
		tree, err := d.parseYAML(&r.arena)
		if err != nil {
			r.fail(err)
			continue
		}
		r.document(tree)
	}
	return r.errs
}

// manifests refuses what Detect finds to be something else.
func (f *file) manifests() error {
	switch k := Detect(f.data); {
	case k == KindManifests:
		return nil
	case k.IsDump():
		return f.fault(Position{File: f.name, Line: 1}, "this is a dump (%s), where manifests are wanted", k)
	}
	for i, l := range bytes.Split(f.data[:min(len(f.data), maxLook)], []byte{'\n'}) {
		if l = bytes.TrimSpace(bytes.TrimPrefix(l, bom)); len(l) > 0 && l[0] != '#' {
			e := f.fault(Position{File: f.name, Line: i + 1}, "%v: it begins with %s", ErrNotInput, quote(string(l)))
			e.Err = ErrNotInput
			return e
		}
	}
	return nil
}

func (r *reader) readNode(n *yaml.Node) Errors {
	d := document{file: r.file, firstLine: 1}
	r.arena.reset(freeNodes + len(r.file.data)/blockBytes)
	c := converter{doc: d, arena: &r.arena, open: map[*yaml.Node]bool{}}
	if n.Kind == yaml.DocumentNode && len(n.Content) == 1 {
		n = n.Content[0]
	}
	tree, err := c.convert(n, 0)
	if err != nil {
		return Errors{err}
	}
	r.document(tree)
	return r.errs
}

// reader takes the documents of one file apart and adds their objects.
type reader struct {
	objects *Objects
	file    *file
	errs    Errors
	arena   arena
	added   int // objects so far
}

func (r *reader) fail(err error) { r.errs = append(r.errs, err) }
func (r *reader) done() bool     { return len(r.errs) >= maxFaults }
func (r *reader) warnings() *int { return &r.objects.suppressed }
func (r *reader) decoder() *decoder {
	return &decoder{file: r.file, where: r.file.where, objects: r.objects}
}

// document adds what one document holds: an object, or a list of them.
func (r *reader) document(n *node) {
	switch n.kind {
	case kindNull:
	case kindMap:
		r.object(n, "", "")
	case kindSeq: // a bare list of objects, as some exports have it
		for i, item := range n.kids {
			if r.done() {
				return
			}
			r.item(item, "", i, "", "")
		}
	default:
		e := r.file.fault(r.file.where(n), "a manifest is a mapping, not %s %s", n.kind, quote(n.text))
		e.Err = ErrNotInput
		r.fail(e)
	}
}

// item adds the object at index i of a list.
func (r *reader) item(n *node, list string, i int, kind, version string) {
	if n.kind != kindMap {
		r.fail(r.file.fault(r.file.where(n), "%s[%d] must be an object, not %s %s", list, i, n.kind, quote(n.text)))
		return
	}
	r.object(n, kind, version)
}

// object adds one object. kind and version are those of the list it stands in, for items that carry none.
func (r *reader) object(n *node, kind, version string) {
	d := r.decoder()
	for _, want := range []string{"kind", "apiVersion"} {
		if v := n.get(want); v != nil && v.kind != kindString {
			r.fail(d.wrong(v, want, "a string"))
			return
		}
	}
	if k := n.str("kind"); k != "" {
		kind = k
	}
	if v := n.str("apiVersion"); v != "" {
		version = v
	}
	if kind == "" {
		e := r.file.fault(r.file.where(n), "an object without a kind")
		if len(n.kids) > 0 {
			e.Msg += ": it begins with " + quote(n.kids[0].text)
		}
		r.fail(e)
		return
	}
	if items := n.get("items"); items != nil && isList(kind) {
		r.list(items, kind, version)
		return
	}
	if err := r.add(n, kind, version); err != nil {
		r.fail(err)
	}
}

func isList(kind string) bool { return len(kind) >= 4 && kind[len(kind)-4:] == "List" }

func (r *reader) list(items *node, kind, version string) {
	if items.kind == kindNull {
		return
	}
	if items.kind != kindSeq {
		r.fail(r.decoder().wrong(items, "items", "a list"))
		return
	}
	kind = kind[:len(kind)-4]
	for i, item := range items.kids {
		if r.done() {
			return
		}
		r.item(item, "items", i, kind, version)
	}
}

// known makes an empty value of a kind this package decodes, or nil; group is the API group it belongs to.
func known(kind string) (value any, group string) {
	switch kind {
	case "Service":
		return new(corev1.Service), ""
	case "Node":
		return new(corev1.Node), ""
	case "Namespace":
		return new(corev1.Namespace), ""
	case "Pod":
		return new(corev1.Pod), ""
	case "ConfigMap":
		return new(corev1.ConfigMap), ""
	case "Endpoints":
		return new(corev1.Endpoints), ""
	case "EndpointSlice":
		return new(discoveryv1.EndpointSlice), "discovery.k8s.io"
	case "ServiceCIDR":
		return new(networkingv1.ServiceCIDR), "networking.k8s.io"
	case "KubeProxyConfiguration":
		return new(proxyv1alpha1.KubeProxyConfiguration), "kubeproxy.config.k8s.io"
	}
	return nil, ""
}
