package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/svclab/svclab/sim/spelling"
)

// maxNodes bounds what aliases can make of a small file.
const maxNodes = 1 << 20

// Object is one Kubernetes object, kept as the text of a YAML document for the reader of manifests.
type Object struct {
	YAML []byte
	At   Pos
}

// Read decodes the text of one scenario; file is its name in errors. Every error is an *Error, or several joined.
func Read(file string, text []byte) (*Scenario, error) {
	d := &decoder{file: file, lines: strings.Split(string(text), "\n")}
	var doc, second yaml.Node
	documents := yaml.NewDecoder(bytes.NewReader(text))
	if err := documents.Decode(&doc); err != nil && err != io.EOF {
		return nil, d.syntax(err)
	}
	switch err := documents.Decode(&second); {
	case err == nil && len(second.Content) > 0:
		n := second.Content[0]
		return nil, d.at(Pos{n.Line, n.Column}, "", "a scenario is one document; a second begins here")
	case err != nil && err != io.EOF:
		return nil, d.syntax(err)
	}
	if len(doc.Content) == 0 {
		return nil, &Error{File: file, Problem: "the file is empty"}
	}
	s := &Scenario{File: file, lines: d.lines}
	d.value(doc.Content[0], reflect.ValueOf(s).Elem(), "the scenario")
	if len(d.errs) == 0 {
		d.check(s, doc.Content[0])
	}
	return s, errors.Join(d.errs...)
}

type decoder struct {
	file  string
	lines []string
	errs  []error
	nodes int
}

var yamlLine = regexp.MustCompile(`line (\d+)(?:, column (\d+))?`)

// syntax turns the YAML parser's error into one with the line shown.
func (d *decoder) syntax(err error) error {
	e := &Error{File: d.file, Problem: strings.TrimPrefix(err.Error(), "yaml: ")}
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		e.Pos.Line, _ = strconv.Atoi(m[1])
		e.Pos.Column, _ = strconv.Atoi(m[2])
		e.Pos.Column = max(e.Pos.Column, 1)
		e.Text = d.line(e.Pos.Line)
	}
	return e
}

func (d *decoder) line(n int) string {
	if n < 1 || n > len(d.lines) {
		return ""
	}
	return strings.TrimRight(d.lines[n-1], "\r")
}

func (d *decoder) fail(n *yaml.Node, hint, format string, args ...any) {
	if len(d.errs) < 20 {
		d.errs = append(d.errs, d.at(Pos{n.Line, n.Column}, hint, format, args...))
	}
}

func (d *decoder) at(p Pos, hint, format string, args ...any) *Error {
	return &Error{File: d.file, Pos: p, Text: d.line(p.Line), Problem: fmt.Sprintf(format, args...), Hint: hint}
}

// value decodes a node into v. what names the value in errors.
func (d *decoder) value(n *yaml.Node, v reflect.Value, what string) {
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	if d.nodes++; d.nodes > maxNodes {
		if d.nodes == maxNodes+1 {
			d.fail(n, "", "the aliases of this file stand for more than %d values", maxNodes)
		}
		return
	}
	switch p := v.Addr().Interface().(type) {
	case *Text:
		p.At = Pos{n.Line, n.Column}
		p.Value = d.str(n, what)
		return
	case *Object:
		d.object(n, p)
		return
	case *Expect:
		if n.Kind == yaml.MappingNode {
			d.expect(n, p)
			return
		}
	}
	if s, ok := v.Addr().Interface().(scalar); ok {
		if n.Kind != yaml.ScalarNode {
			d.fail(n, "", "%s must be a single value", what)
		} else if err := s.parse(n.Value); err != nil {
			d.fail(n, "", "%s: %v", what, err)
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), what)
	case reflect.Struct:
		d.mapping(n, v, what)
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			d.fail(n, "begin each item with \"- \"", "%s must be a list", what)
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
		for i, c := range n.Content {
			d.value(c, v.Index(i), fmt.Sprintf("%s[%d]", what, i))
		}
	case reflect.String:
		v.SetString(d.str(n, what))
	case reflect.Bool:
		d.boolean(n, v, what)
	case reflect.Int, reflect.Uint64:
		d.integer(n, v, what)
	default:
		panic("scenario: no decoder for " + v.Type().String())
	}
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, what string) {
	if n.Kind != yaml.MappingNode {
		d.fail(n, "", "%s must be a mapping of fields", what)
		return
	}
	if f := v.FieldByName("Pos"); f.IsValid() {
		f.Set(reflect.ValueOf(Pos{n.Line, n.Column}))
	} else if f := v.FieldByName("At"); f.IsValid() && f.Type() == reflect.TypeFor[Pos]() {
		f.Set(reflect.ValueOf(Pos{n.Line, n.Column}))
	}
	fields, names := fieldsOf(v.Type())
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		f, ok := fields[key.Value]
		if !ok || key.Kind != yaml.ScalarNode {
			d.fail(key, hint(key.Value, names), "%s has no field %q", what, key.Value)
			continue
		}
		if line, again := seen[key.Value]; again {
			d.fail(key, fmt.Sprintf("first on line %d", line), "field %q stands twice", key.Value)
			continue
		}
		seen[key.Value] = key.Line
		if val.Kind == yaml.ScalarNode && val.Tag == "!!null" {
			d.fail(val, "", "%s has no value", key.Value)
			continue
		}
		d.value(val, v.Field(f.index), key.Value)
		switch x := v.Field(f.index); {
		case f.enum == nil:
		case x.Kind() == reflect.String:
			d.enum(val, x.String(), f.enum, key.Value)
		case x.Kind() == reflect.Slice:
			for j := range x.Len() {
				d.enum(val.Content[j], x.Index(j).String(), f.enum, key.Value)
			}
		}
	}
	for _, name := range names {
		if _, ok := seen[name]; fields[name].required && !ok {
			d.fail(n, "", "%s lacks the field %q", what, name)
		}
	}
}

func (d *decoder) enum(n *yaml.Node, got string, allowed []string, what string) {
	for _, a := range allowed {
		if a == got {
			return
		}
	}
	d.fail(n, hint(got, allowed), "%s cannot be %q", what, got)
}

// hint names the nearest valid spelling, or all of a few.
func hint(got string, valid []string) string {
	if near := spelling.Nearest(got, valid); len(near) > 0 {
		return fmt.Sprintf("did you mean %q?", near[0])
	}
	return "valid are " + strings.Join(valid, ", ")
}

// str reads a string, and refuses the plain words that YAML 1.1 takes for truth values and numbers.
func (d *decoder) str(n *yaml.Node, what string) string {
	if n.Kind != yaml.ScalarNode {
		d.fail(n, "", "%s must be a text", what)
		return ""
	}
	if n.Style == 0 {
		if truth, ok := truths[strings.ToLower(n.Value)]; ok {
			d.fail(n, fmt.Sprintf("put it in quotes: %q", n.Value), "%s: plain %s is the truth value %v to YAML 1.1", what, n.Value, truth)
		}
		if octal.MatchString(n.Value) {
			d.fail(n, fmt.Sprintf("put it in quotes: %q", n.Value), "%s: plain %s is an octal number to YAML 1.1", what, n.Value)
		}
	}
	return n.Value
}

var (
	truths = map[string]bool{"yes": true, "no": false, "on": true, "off": false, "y": true, "n": false, "true": true, "false": false}
	octal  = regexp.MustCompile(`^0[0-7]+$`)
	// nodeName is a name that no address and no number looks like.
	nodeName = regexp.MustCompile(`^[a-z]([-a-z0-9.]*[a-z0-9])?$`)
	number   = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
)

func (d *decoder) boolean(n *yaml.Node, v reflect.Value, what string) {
	switch {
	case n.Kind == yaml.ScalarNode && n.Style == 0 && (n.Value == "true" || n.Value == "false"):
		v.SetBool(n.Value == "true")
	case n.Kind == yaml.ScalarNode:
		h := "true or false"
		if t, ok := truths[strings.ToLower(n.Value)]; ok {
			h = fmt.Sprintf("write %v; %s is one of YAML 1.1's other spellings", t, n.Value)
		}
		d.fail(n, h, "%s: %q is not a truth value", what, n.Value)
	default:
		d.fail(n, "", "%s must be true or false", what)
	}
}

func (d *decoder) integer(n *yaml.Node, v reflect.Value, what string) {
	if n.Kind != yaml.ScalarNode || n.Style != 0 || !number.MatchString(n.Value) {
		h := "a whole number, without unit"
		if octal.MatchString(n.Value) {
			if x, err := strconv.ParseInt(n.Value, 8, 64); err == nil {
				h = fmt.Sprintf("YAML 1.1 reads it as octal, %d: write %s", x, strings.TrimLeft(n.Value, "0"))
			}
		}
		d.fail(n, h, "%s: %q is not a number", what, n.Value)
		return
	}
	if v.Kind() == reflect.Uint64 {
		x, err := strconv.ParseUint(n.Value, 10, 64)
		if err != nil {
			d.fail(n, "", "%s: %s is not between 0 and 2^64-1", what, n.Value)
		}
		v.SetUint(x)
		return
	}
	x, err := strconv.ParseInt(n.Value, 10, 32)
	if err != nil || x < 0 {
		d.fail(n, "", "%s: %s is not between 0 and 2^31-1", what, n.Value)
	}
	v.SetInt(x)
}

func (d *decoder) object(n *yaml.Node, o *Object) {
	o.At = Pos{n.Line, n.Column}
	if n.Kind != yaml.MappingNode {
		d.fail(n, "", "an object must be a mapping of fields")
		return
	}
	text, err := yaml.Marshal(n)
	if err != nil {
		d.fail(n, "", "%v", err)
	}
	o.YAML = text
}

func (d *decoder) expect(n *yaml.Node, e *Expect) {
	e.Kind = "each"
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		var x Each
		if nodeName.MatchString(key.Value) {
			x.Node = key.Value
		} else if err := x.Endpoint.parse(key.Value); err != nil {
			d.fail(key, "", "expect: %v", err)
		}
		d.value(val, reflect.ValueOf(&x.Share).Elem(), key.Value)
		if seen[key.Value] {
			d.fail(key, "", "endpoint %q stands twice", key.Value)
		}
		seen[key.Value] = true
		e.Each = append(e.Each, x)
	}
}

type field struct {
	index    int
	required bool
	enum     []string
}

// fieldsOf lists the fields of a struct by their YAML name, in the order of declaration.
func fieldsOf(t reflect.Type) (map[string]field, []string) {
	fields, names := map[string]field{}, []string{}
	for i := range t.NumField() {
		name, opts, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name == "-" || name == "" {
			continue
		}
		f := field{index: i, required: opts == "required"}
		if e := t.Field(i).Tag.Get("enum"); e != "" {
			f.enum = strings.Split(e, ",")
		}
		fields[name] = f
		names = append(names, name)
	}
	return fields, names
}
