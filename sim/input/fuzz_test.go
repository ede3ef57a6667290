package input

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// readSeeds are inputs that stand for an edge each, named beside them. The bad inputs and the seeds of the block reader
// are seeds as well.
var readSeeds = []struct{ edge, text string }{
	{"a List whose kind comes after its items", `{"apiVersion":"v1","items":[{"apiVersion":"v1","kind":"Node","metadata":{"name":"a"}}],"kind":"List"}`},
	{"items of a typed list carry no kind", `{"kind":"ServiceList","apiVersion":"v1","items":[{"metadata":{"name":"a"},"spec":{"clusterIP":"None"}}]}`},
	{"items that are null", `{"kind":"ServiceList","apiVersion":"v1","items":null}`},
	{"a kind of List that is none", `{"kind":"PlayList","apiVersion":"x/v1"}`},
	{"escapes and surrogates of JSON strings", `{"kind":"Node","apiVersion":"v1","metadata":{"name":"a\u0041\ud83d\ude00\n\"\\","annotations":{"\ud800":"\udc00x"}}}`},
	{"numbers at the edge of JSON", `[{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","generation":-0},"spec":{"priority":1e9}}]`},
	{"a number too large for its field", `{"kind":"Node","apiVersion":"v1","metadata":{"name":"a","generation":99999999999999999999}}`},
	{"quantities, times, durations and unions decode themselves", "apiVersion: v1\nkind: Pod\nmetadata: {name: a, creationTimestamp: \"2026-01-01T00:00:00Z\"}\nspec: {containers: [{name: c, resources: {limits: {cpu: 100m, memory: 1Gi}}, livenessProbe: {tcpSocket: {port: http}}}]}\n"},
	{"a configuration in a ConfigMap, literal", configMap},
	{"a configuration in a ConfigMap, quoted", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kube-proxy, namespace: kube-system}\ndata: {config.conf: \"kind: KubeProxyConfiguration\\napiVersion: kubeproxy.config.k8s.io/v1alpha1\\nmode: x\"}\n"},
	{"a kind cluster's patch", "apiVersion: kind.x-k8s.io/v1alpha4\nkind: Cluster\nkubeadmConfigPatches:\n- |\n  apiVersion: kubeproxy.config.k8s.io/v1alpha1\n  kind: KubeProxyConfiguration\n  mode: ipvs\n"},
	{"leading zeros of IPv4, as old clusters hold them", "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {clusterIP: 010.000.0.09, ports: [{port: 80}]}\n"},
	{"an IPv4-mapped address", "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {clusterIP: '::ffff:10.0.0.1', ports: [{port: 80}]}\n"},
	{"an address with a zone", "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {clusterIP: 'fe80::1%eth0', ports: [{port: 80}]}\n"},
	{"two families", "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {clusterIPs: [10.0.0.1, 'fd00::1'], ports: [{port: 80, protocol: SCTP}]}\n"},
	{"a merge key that is no mapping", "<<: 1\nkind: Node\n"},
	{"a key that is a mapping", "? {a: b}\n: c\n"},
	{"a tag", "kind: !!binary eA==\n"},
	{"a directive", "%YAML 1.1\n---\na: 1\n"},
	{"a byte order mark in the middle", "a: \ufeffb\n"},
	{"legacy Endpoints", "apiVersion: v1\nkind: Endpoints\nmetadata: {name: a}\nsubsets: [{addresses: [{ip: 1.2.3.4}], ports: [{port: 1}]}]\n"},
	{"an alias bomb, small", laughs(4)},
	{"a colon before a word", ":0"},
	{"a dump, to be sent elsewhere", "*nat\nCOMMIT\n"},
}

// Whatever is read: no panic, no hang, faults of one line that begin with the file, the same result each time, memory in
// proportion.
func FuzzRead(f *testing.F) {
	for _, s := range readSeeds {
		f.Add([]byte(s.text))
	}
	for _, s := range badInputs {
		f.Add([]byte(s.in))
	}
	for _, s := range blockSeeds {
		f.Add([]byte(s.text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		run := func() (*Objects, any, error) {
			o, err := Read([]Source{{Name: "f", Data: data}})
			if err != nil {
				return o, nil, err
			}
			st, _, err := o.State(NodeOptions{})
			return o, st, err
		}
		var o *Objects
		var st any
		var err error
		if got := allocated(func() { o, st, err = run() }); got > ceiling(len(data), false) {
			t.Errorf("%d bytes of input, %d allocated", len(data), got)
		}
		_, again, err2 := run()
		if (err == nil) != (err2 == nil) || err != nil && err.Error() != err2.Error() || !reflect.DeepEqual(st, again) {
			t.Errorf("two readings differ: %v, %v", err, err2)
		}
		for _, w := range o.Warnings() {
			if !strings.HasPrefix(w.String(), "f:") || strings.ContainsAny(w.String(), "\r\n") {
				t.Errorf("warning %q", w)
			}
		}
		if err == nil {
			return
		}
		var choice *NodeChoiceError
		if errors.As(err, &choice) {
			return
		}
		for _, e := range flatten(err) {
			var p *ParseError
			if !errors.As(e, &p) || p.Line < 1 || !strings.HasPrefix(e.Error(), "f:") || strings.ContainsAny(e.Error(), "\r\n") {
				t.Errorf("fault %q", e)
			}
		}
	})
}

func flatten(err error) []error {
	if all, ok := err.(Errors); ok {
		return all
	}
	return []error{err}
}
