package input

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// The manifests of packet flows, a list inside a larger file, are read as a part of it.
func TestReadNode(t *testing.T) {
	files, _ := filepath.Glob("testdata/flows/*.yaml")
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var flows struct{ Manifest yaml.Node }
		if err := yaml.Unmarshal(data, &flows); err != nil {
			t.Fatal(err)
		}
		o, err := Read([]Source{{Name: f, Data: data, Node: &flows.Manifest}})
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		st, rep, err := o.State(NodeOptions{})
		if err != nil || len(st.Services) == 0 || st.Node.StandIn || len(rep.Warnings) > 0 {
			t.Errorf("%s: %d Services, node %q, warnings %v, error %v", f, len(st.Services), st.Node.Name, rep.Warnings, err)
		}
	}
	bad := "a: 1\nobjects:\n- apiVersion: v1\n  kind: Node\n  metadata: {name: [x]}\n"
	var part struct{ Objects yaml.Node }
	if err := yaml.Unmarshal([]byte(bad), &part); err != nil {
		t.Fatal(err)
	}
	_, err := Read([]Source{{Name: "f", Data: []byte(bad), Node: &part.Objects}})
	if err == nil || err.Error() != "f:5:20: metadata.name must be a string, not a list" {
		t.Errorf("position in the larger file: %v", err)
	}
}

// Steps of a sequence change the objects, and State follows.
func TestApplyAndDelete(t *testing.T) {
	data, err := os.ReadFile("testdata/sequences/delete-service.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var seq struct {
		Initial yaml.Node
		Steps   []struct {
			Name   string
			Apply  yaml.Node
			Delete []struct{ Kind, Namespace, Name string }
		}
	}
	if err := yaml.Unmarshal(data, &seq); err != nil {
		t.Fatal(err)
	}
	o, err := Read([]Source{{Name: "f", Node: &seq.Initial}})
	if err != nil {
		t.Fatal(err)
	}
	count := func() [2]int {
		st, _, err := o.State(NodeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return [2]int{len(st.Services), len(st.Slices)}
	}
	before := count()
	first := o.Clone()
	want := [][2]int{{before[0] - 1, before[1]}, {before[0] - 1, before[1] - 1}}
	for i, s := range seq.Steps[:2] {
		for _, d := range s.Delete {
			if !o.Delete(d.Kind, d.Namespace, d.Name) {
				t.Errorf("%s: no %s %s/%s", s.Name, d.Kind, d.Namespace, d.Name)
			}
		}
		if got := count(); got != want[i] {
			t.Errorf("after %s: %v Services and slices, want %v", s.Name, got, want[i])
		}
	}
	if o.Delete("Service", "default", "web") {
		t.Error("deleted twice")
	}
	if len(first.Services()) != before[0] {
		t.Error("the clone follows the original")
	}
	again := "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {clusterIP: 10.96.0.77, ports: [{port: 81}]}\n"
	for range 2 {
		if err := o.Apply(Source{Name: "f", Data: []byte(again)}); err != nil {
			t.Fatal(err)
		}
	}
	if got := count(); got[0] != before[0] || len(o.Warnings()) > 0 {
		t.Errorf("after applying twice: %v, warnings %v", got, o.Warnings())
	}
}

// An object that stands twice in the inputs replaces its predecessor, with a warning.
func TestTwice(t *testing.T) {
	one := "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {clusterIP: 10.96.0.77, ports: [{port: 80}]}\n"
	two := strings.Replace(one, "80}", "81}", 1)
	o, err := Read([]Source{{Name: "a", Data: []byte(one)}, {Name: "b", Data: []byte("---\n" + two)}, {Name: "c", Data: []byte(two)}})
	if err != nil {
		t.Fatal(err)
	}
	st, rep, err := o.State(NodeOptions{})
	if err != nil || len(st.Services) != 1 || st.Services[0].Ports[0].Port != 81 {
		t.Fatalf("%+v %v", st.Services, err)
	}
	var got []string
	for _, w := range rep.Warnings[:2] {
		got = append(got, w.String())
	}
	want := "b:2:1: warning: Service default/web stands twice, first at a:1:1: this one takes its place\n" +
		"c:1:1: warning: Service default/web stands twice, first at b:2:1, both alike"
	if s := strings.Join(got, "\n"); s != want {
		t.Errorf("got\n%s\nwant\n%s", s, want)
	}
}
