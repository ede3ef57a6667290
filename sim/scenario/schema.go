package scenario

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"
)

// SchemaID names the JSON Schema of scenarios.
const SchemaID = "https://svclab.dev/schema/scenario-v1alpha1.json"

// scalars are the types that a scenario spells as one YAML scalar, each with what it looks like.
var scalars = map[reflect.Type]*jsonschema.Schema{
	reflect.TypeFor[Text]():     {Type: "string"},
	reflect.TypeFor[Duration](): {Type: "string", Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`, Examples: []any{"30s", "1m30s", "250ms"}},
	reflect.TypeFor[Rate]():     {Type: "string", Pattern: `^[0-9]+ */ *(ms|s|m|h)$`, Examples: []any{"1000/s", "60/m"}},
	reflect.TypeFor[Margin]():   {AnyOf: either("string", "number"), Examples: []any{"10%", "0.5 points"}},
	reflect.TypeFor[Share]():    {AnyOf: either("string", "number"), Examples: []any{"1/3", "25%"}},
	reflect.TypeFor[Addr]():     {Type: "string", Examples: []any{"10.244.1.7"}},
	reflect.TypeFor[Prefix]():   {Type: "string", Examples: []any{"10.244.1.0/24"}},
	reflect.TypeFor[AddrPort](): {Type: "string", Examples: []any{"10.96.0.1:80"}},
	reflect.TypeFor[PortRef]():  {AnyOf: either("string", "integer"), Examples: []any{80, "http"}},
	reflect.TypeFor[Object]():   {Type: "object"},

	reflect.TypeFor[Bandwidth](): {Type: "string", Pattern: `^[0-9.]+ *(bit|kbit|Mbit|Gbit)(/s)?$`, Examples: []any{"100Mbit", "1Gbit"}},
}

// either is one of several plain types: YAML's plain scalars need no quotes.
func either(types ...string) (out []*jsonschema.Schema) {
	for _, t := range types {
		out = append(out, &jsonschema.Schema{Type: t})
	}
	return out
}

// Schema is the JSON Schema (draft-07) of scenarios, made from the types that they are read into.
func Schema() ([]byte, error) {
	r := jsonschema.Reflector{
		FieldNameTag: "yaml", Anonymous: true, DoNotReference: true, ExpandedStruct: true, RequiredFromJSONSchemaTags: true,
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			if s := scalars[t]; s != nil {
				c := *s
				return &c
			}
			if t == reflect.TypeFor[Expect]() {
				return expectSchema()
			}
			return nil
		},
		LookupComment: func(t reflect.Type, field string) string {
			if t.Kind() != reflect.Struct {
				return ""
			}
			f, _ := t.FieldByName(field)
			return f.Tag.Get("doc")
		},
	}
	s := r.ReflectFromType(reflect.TypeFor[Scenario]())
	s.Version, s.ID, s.Title = "http://json-schema.org/draft-07/schema#", SchemaID, "svclab scenario"
	s.Description = "What a cluster is made of, what traffic meets it, what happens meanwhile, and what must hold."
	tighten(s, reflect.TypeFor[Scenario]())
	return json.MarshalIndent(s, "", "  ")
}

func expectSchema() *jsonschema.Schema {
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
		{Type: "string", Enum: []any{"uniform", "rules"}, Description: "even shares, or what the loaded rules say"},
		{Type: "object", AdditionalProperties: scalars[reflect.TypeFor[Share]()], Description: "a share for each endpoint or node"},
	}}
}

// tighten adds to a struct's schema what its tags say: which fields are required, and the values that they can have.
func tighten(s *jsonschema.Schema, t reflect.Type) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		if t.Kind() == reflect.Slice && s.Items != nil {
			s = s.Items
		}
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || s.Properties == nil {
		return
	}
	s.Required = nil
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		p, ok := s.Properties.Get(name)
		if name == "-" || name == "" || !ok {
			continue
		}
		if opts == "required" {
			s.Required = append(s.Required, name)
		}
		p.Description = f.Tag.Get("doc")
		if e := f.Tag.Get("enum"); e != "" {
			at := p
			if f.Type.Kind() == reflect.Slice {
				at = p.Items
			}
			for v := range strings.SplitSeq(e, ",") {
				at.Enum = append(at.Enum, v)
			}
		}
		tighten(p, f.Type)
	}
}
