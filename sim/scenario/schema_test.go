package scenario

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/svclab/svclab/scenarios"
)

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft4) // the schema names its own: draft-07
	if err := c.AddResource(SchemaID, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(SchemaID)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// instance is a YAML text as JSON values.
func instance(t *testing.T, text []byte) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	v, err = jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Another implementation of JSON Schema takes every shipped scenario, and refuses what Read refuses.
func TestSchemaAgreesWithReader(t *testing.T) {
	s := compiled(t)
	names, err := fs.Glob(scenarios.Files, "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range names {
		text, err := scenarios.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "kind: Scenario") {
			continue
		}
		n++
		if err := s.Validate(instance(t, text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n < 30 {
		t.Errorf("only %d scenarios", n)
	}
	good := head + "  traffic:\n  - {name: t, from: {pods: 1}, to: {service: a/b}, connections: 10}\n"
	if err := s.Validate(instance(t, []byte(good))); err != nil {
		t.Errorf("the good one: %v", err)
	}
	for name, text := range map[string]string{
		"unknown field": good + "  sed: 1\n",
		"missing field": strings.Replace(good, "to: {service: a/b}, ", "", 1),
		"wrong kind":    strings.Replace(good, "connections: 10", "connections: ten", 1),
		"no unit":       strings.Replace(good, "connections: 10", "connections: 10, start: \"30\"", 1),
		"wrong value":   strings.Replace(good, "connections: 10", "connections: 10, arrivals: sometimes", 1),
	} {
		if s.Validate(instance(t, []byte(text))) == nil {
			t.Errorf("%s: the schema takes it", name)
		}
		if _, err := Read("s.yaml", []byte(text)); err == nil {
			t.Errorf("%s: the reader takes it", name)
		}
	}
}

// Every field, however deep, has a description.
func TestSchemaDescribesEveryField(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	fields := 0
	var walk func(path string, v any)
	walk = func(path string, v any) {
		m, ok := v.(map[string]any)
		if !ok {
			return
		}
		if props, ok := m["properties"].(map[string]any); ok {
			for name, p := range props {
				fields++
				if d, _ := p.(map[string]any)["description"].(string); d == "" {
					t.Errorf("%s.%s has no description", path, name)
				}
				walk(path+"."+name, p)
			}
		}
		walk(path+"[]", m["items"])
	}
	walk("", doc)
	if doc["$schema"] != "http://json-schema.org/draft-07/schema#" || fields < 100 {
		t.Errorf("schema %v with %d fields", doc["$schema"], fields)
	}
}
