package input

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/svclab/svclab/sim/spelling"
)

// decoder fills Go values of the upstream types from a tree, by their json tags, and complains with positions. It does
// what encoding/json does for these types, but knows where every value stands.
type decoder struct {
	file    *file
	where   func(n *node) Position
	lenient bool   // duplicate keys are warned about, not refused: kube-proxy's own configuration
	fields  string // what an unknown field is a field of, for the warning: "Service default/web"
	objects *Objects
	nested  bool // the tree stands inside a string of the file: no snippets
}

func (d *decoder) fault(n *node, format string, args ...any) error {
	if d.nested {
		return (&file{name: d.file.name}).fault(d.where(n), format, args...)
	}
	return d.file.fault(d.where(n), format, args...)
}

func (d *decoder) warn(n *node, format string, args ...any) {
	if d.objects.quiet() {
		return
	}
	d.objects.warn(d.where(n), format, args...)
}

// decode stores n in v. path names the field for messages.
func (d *decoder) decode(n *node, v reflect.Value, path string) error {
	if v.Kind() == reflect.Pointer {
		if n.kind == kindNull {
			return nil
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return d.decode(n, v.Elem(), path)
	}
	if custom := customKind(v.Type()); custom != notCustom {
		return d.custom(n, v, path, custom)
	}
	if n.kind == kindNull {
		return nil // as encoding/json: null leaves the zero value
	}
	switch v.Kind() {
	case reflect.Struct:
		return d.object(n, v, path)
	case reflect.Map:
		return d.mapping(n, v, path)
	case reflect.Slice:
		return d.slice(n, v, path)
	case reflect.String:
		if n.kind != kindString {
			return d.wrong(n, path, "a string")
		}
		v.SetString(n.text)
	case reflect.Bool:
		if n.kind != kindBool {
			return d.wrong(n, path, "true or false")
		}
		v.SetBool(isTrue(n.text))
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint8, reflect.Int8, reflect.Uint32:
		return d.integer(n, v, path)
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(strings.ReplaceAll(n.text, "_", ""), 64)
		if n.kind != kindInt && n.kind != kindFloat || err != nil {
			return d.wrong(n, path, "a number")
		}
		v.SetFloat(f)
	default:
		return d.fault(n, "%s: a field of Go type %s is not decoded", path, v.Type())
	}
	return nil
}

func (d *decoder) integer(n *node, v reflect.Value, path string) error {
	if n.kind != kindInt && !n.whole() {
		return d.wrong(n, path, "a whole number")
	}
	if t := n.trap(); t != "" {
		return d.fault(n, "%s: %s: write the decimal number", path, t)
	}
	x, ok := parseYAMLInt(strings.ReplaceAll(n.text, "_", ""))
	if n.kind == kindFloat {
		f, _ := strconv.ParseFloat(n.text, 64)
		x, ok = int64(f), true
	}
	if !ok || (v.CanInt() && v.OverflowInt(x)) || (v.CanUint() && (x < 0 || v.OverflowUint(uint64(x)))) {
		return d.fault(n, "%s: %s is out of range", path, quote(n.text))
	}
	if v.CanInt() {
		v.SetInt(x)
	} else {
		v.SetUint(uint64(x))
	}
	return nil
}

// wrong says that a value has the wrong type, and names the YAML trap when it is one.
func (d *decoder) wrong(n *node, path, want string) error {
	got := n.kind.String()
	if n.kind != kindSeq && n.kind != kindMap && n.kind != kindNull {
		got += " " + quote(n.text)
	}
	hint := ""
	switch t := n.trap(); {
	case t != "":
		hint = ": " + t
		if want == "a string" {
			hint += "; put it in quotes"
		}
	case want == "a string" && (n.kind == kindInt || n.kind == kindFloat || n.kind == kindBool) && n.plain:
		hint = "; put it in quotes"
	case n.kind == kindString && hasTypographic(n.text):
		hint = ": typographic quotes are part of the value; write \" or ' or none"
	case n.kind == kindString && !n.plain && (want == "a whole number" || want == "true or false"):
		hint = ": it stands in quotes"
	}
	return d.fault(n, "%s must be %s, not %s%s", path, want, got, hint)
}

func hasTypographic(s string) bool { return strings.ContainsAny(s, "“”„‟‘’«»") }

func (d *decoder) slice(n *node, v reflect.Value, path string) error {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		return d.viaJSON(n, v, path)
	}
	if n.kind != kindSeq {
		return d.wrong(n, path, "a list")
	}
	if len(n.kids) > maxList {
		return d.fault(n, "%s: a list of %d elements: at most %d are read", path, len(n.kids), maxList)
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.kids), len(n.kids)))
	for i, k := range n.kids {
		if err := d.decode(k, v.Index(i), path+"["+strconv.Itoa(i)+"]"); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) mapping(n *node, v reflect.Value, path string) error {
	if n.kind != kindMap {
		return d.wrong(n, path, "a mapping")
	}
	m := reflect.MakeMapWithSize(v.Type(), len(n.kids)/2)
	key, val := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
	for i := 0; i < len(n.kids); i += 2 {
		k := n.kids[i]
		if k.kind != kindString && k.plain && k.kind != kindInt {
			if t := k.trap(); t != "" {
				return d.fault(k, "%s: key: %s; put it in quotes", path, t)
			}
		}
		if err := d.duplicate(n, i, path); err != nil {
			return err
		}
		val.SetZero()
		if err := d.decode(n.kids[i+1], val, path+"."+k.text); err != nil {
			return err
		}
		key.SetString(k.text)
		m.SetMapIndex(key, val)
	}
	v.Set(m)
	return nil
}

// duplicate complains when the key at index i of a mapping stands there before.
func (d *decoder) duplicate(n *node, i int, path string) error {
	k := n.kids[i]
	if len(n.kids) > 64 { // large mappings: by a set, once
		if i > 0 {
			return nil
		}
		seen := make(map[string]*node, len(n.kids)/2)
		for j := 0; j < len(n.kids); j += 2 {
			if first := seen[n.kids[j].text]; first != nil {
				if err := d.twice(n.kids[j], first, path); err != nil {
					return err
				}
			}
			seen[n.kids[j].text] = n.kids[j]
		}
		return nil
	}
	for j := 0; j < i; j += 2 {
		if n.kids[j].text == k.text {
			return d.twice(k, n.kids[j], path)
		}
	}
	return nil
}

func (d *decoder) twice(k, first *node, path string) error {
	in := ""
	if path != "" {
		in = " in " + path
	}
	if d.lenient {
		d.warn(k, "key %s stands twice%s (first in line %d): kube-proxy decodes leniently and takes the last", quote(k.text), in, d.where(first).Line)
		return nil
	}
	return d.fault(k, "key %s stands twice%s (first in line %d)", quote(k.text), in, d.where(first).Line)
}

func (d *decoder) object(n *node, v reflect.Value, path string) error {
	if n.kind != kindMap {
		return d.wrong(n, orObject(path), "a mapping")
	}
	info := structOf(v.Type())
	for i := 0; i < len(n.kids); i += 2 {
		k := n.kids[i]
		if err := d.duplicate(n, i, path); err != nil {
			return err
		}
		f, ok := info.fields[k.text]
		if !ok {
			d.unknown(k, info, path)
			continue
		}
		if path == "metadata" && k.text == "managedFields" {
			continue // bookkeeping of server-side apply: as large as the object, of no effect
		}
		if err := d.decode(n.kids[i+1], v.FieldByIndex(f), join(path, k.text)); err != nil {
			return err
		}
	}
	return nil
}

func orObject(path string) string {
	if path == "" {
		return "the object"
	}
	return path
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// unknown lists a field that the type does not have: a typing error, or a field of a newer server.
func (d *decoder) unknown(k *node, info *structInfo, path string) {
	msg := "field " + quote(join(path, k.text)) + " is not known and ignored"
	if d.lenient {
		msg = "strict decoding failed, unknown field " + quote(join(path, k.text)) + ": kube-proxy decodes leniently and ignores it"
	}
	if near := spelling.Meant(k.text, info.names); near != "" {
		msg += "; did you mean " + quote(near) + "?"
	}
	if d.fields != "" {
		msg = d.fields + ": " + msg
	}
	d.warn(k, "%s", msg)
}

type customType uint8

const (
	notCustom   customType = iota
	ownJSON                // implements json.Unmarshaler
	ownText                // implements encoding.TextUnmarshaler
	intOrString            // the upstream union of a number and a word
)

var (
	customs      sync.Map // reflect.Type → customType
	unmarshaler  = reflect.TypeFor[json.Unmarshaler]()
	textUnmarsh  = reflect.TypeFor[encoding.TextUnmarshaler]()
	intOrStrName = "IntOrString"
)

func customKind(t reflect.Type) customType {
	if c, ok := customs.Load(t); ok {
		return c.(customType)
	}
	c := notCustom
	switch {
	case t.Name() == intOrStrName && t.Kind() == reflect.Struct:
		c = intOrString
	case reflect.PointerTo(t).Implements(unmarshaler):
		c = ownJSON
	case reflect.PointerTo(t).Implements(textUnmarsh):
		c = ownText
	}
	customs.Store(t, c)
	return c
}

func (d *decoder) custom(n *node, v reflect.Value, path string, c customType) error {
	if c == intOrString {
		if n.kind == kindInt {
			if t := n.trap(); t != "" {
				return d.fault(n, "%s: %s: write the decimal number", path, t)
			}
		} else if n.kind != kindString && n.kind != kindNull && !n.whole() {
			return d.wrong(n, path, "a number or a name")
		}
	}
	return d.viaJSON(n, v, path)
}

// viaJSON lets a type with its own JSON form decode itself.
func (d *decoder) viaJSON(n *node, v reflect.Value, path string) error {
	if err := json.Unmarshal(n.appendJSON(nil), v.Addr().Interface()); err != nil {
		hint := ""
		if hasTypographic(n.text) {
			hint = " (typographic quotes are part of the value)"
		}
		return d.fault(n, "%s: %s is not valid: %v%s", path, quote(n.text), err, hint)
	}
	return nil
}
