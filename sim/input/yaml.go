package input

import (
	"errors"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

// parseYAML reads one YAML document into a tree.
func (d document) parseYAML(a *arena) (*node, error) {
	if n, ok := d.readBlock(a); ok {
		return n, nil
	}
	return d.parseAnyYAML(a)
}

// parseAnyYAML reads a document with the YAML library.
func (d document) parseAnyYAML(a *arena) (*node, error) {
	most := freeNodes + len(d.text)/libraryBytes
	if at := tooDense(d.text, most); at >= 0 {
		return nil, d.file.fault(d.lines(1+strings.Count(d.text[:at], "\n"), 0), "more than %d values in a document of %d bytes: no manifest is so dense", most, len(d.text))
	}
	var doc yaml.Node
	loader, err := yaml.NewLoader(strings.NewReader(d.text), yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth))))
	if err == nil {
		err = loader.Load(&doc)
	}
	if err != nil {
		return nil, d.yamlError(err)
	}
	if err := loader.Load(new(yaml.Node)); err != io.EOF {
		return nil, d.file.fault(d.lines(1, 0), "more than one document between two markers: do line ends consist of carriage returns alone?")
	}
	a.reset(most)
	c := converter{doc: d, arena: a, open: map[*yaml.Node]bool{}}
	n := &doc
	if n.Kind == yaml.DocumentNode && len(n.Content) == 1 {
		n = n.Content[0]
	}
	return c.convert(n, 0)
}

// tooDense estimates the number of values of a document from its separators, without parsing, and returns the offset at
// which they become more than most, or -1.
func tooDense(s string, most int) int {
	n := 0
	for i := range len(s) {
		switch s[i] {
		case '[', '{':
			n++
		case ',': // in a mapping, a key without value
			n += 2
		case ':':
			if i+1 == len(s) || s[i+1] == ' ' || s[i+1] == '\n' || i > 0 && (s[i-1] == '"' || s[i-1] == '\'') {
				n += 2
			}
		case '-', '?':
			if (i == 0 || s[i-1] == ' ' || s[i-1] == '\n') && (i+1 == len(s) || s[i+1] == ' ' || s[i+1] == '\n') {
				n++
			}
		default:
			continue
		}
		if n > most {
			return i
		}
	}
	return -1
}

// lines turns a line of the document into a position in the file.
func (d document) lines(line, col int) Position {
	return Position{File: d.file.name, Line: d.firstLine + line - 1, Col: col}
}

// yamlError puts the position of the file into what the YAML library says and names the usual causes.
func (d document) yamlError(err error) error {
	var le *yaml.LoadError
	if !errors.As(err, &le) {
		return d.file.fault(d.lines(1, 0), "not YAML: %v", err)
	}
	msg := strings.TrimPrefix(le.Message, "yaml: ")
	pos := d.lines(max(le.Mark.Line, 1), le.Mark.Column)
	if strings.Contains(msg, "depth") {
		return d.file.fault(pos, "nested more than %d levels deep", maxDepth)
	}
	line := max(le.Mark.Line, 1)
	switch {
	case strings.Contains(le.ContextMsg, "quoted scalar") && le.ContextMark.Line > 0:
		line, msg = le.ContextMark.Line, "a quoted value begins here and does not end"
		pos = d.lines(line, le.ContextMark.Column)
	case le.ContextMsg != "":
		msg = le.ContextMsg + ": " + msg
	}
	e := d.file.fault(pos, "not YAML: %s", msg)
	if near := d.line(line); near != "" {
		e.Msg += ": " + quote(strings.TrimSpace(near))
		if strings.ContainsAny(near, "“”„‟‘’«»") {
			e.Msg += " (it holds typographic quotes: write \" or ')"
		} else if strings.HasPrefix(strings.TrimLeft(near, " "), "\t") {
			e.Msg += " (YAML does not indent with tabs)"
		}
	}
	return e
}

// line returns one line of the document, from 1.
func (d document) line(n int) string {
	s := d.text
	for ; n > 1; n-- {
		i := strings.IndexByte(s, '\n')
		if i < 0 {
			return ""
		}
		s = s[i+1:]
	}
	s, _, _ = strings.Cut(s, "\n")
	if len(s) > 4096 {
		s = strings.ToValidUTF8(s[:4096], "")
	}
	return s
}

// converter turns the library's nodes into ours: aliases followed, merge keys applied, plain scalars resolved.
type converter struct {
	doc   document
	arena *arena
	open  map[*yaml.Node]bool // alias targets being converted, against cycles
}

func (c *converter) convert(y *yaml.Node, depth int) (*node, error) {
	if depth > maxDepth {
		return nil, c.fault(y, "nested more than %d levels deep", maxDepth)
	}
	n := c.arena.new()
	if c.arena.full() {
		return nil, c.fault(y, "aliases and lists multiply to more than %d values", c.arena.most)
	}
	n.line, n.col = int32(c.doc.firstLine+y.Line-1), int32(y.Column)
	switch y.Kind {
	case yaml.ScalarNode:
		return n, c.scalar(n, y)
	case yaml.AliasNode:
		if c.open[y.Alias] {
			return nil, c.fault(y, "alias %s stands inside the value it names", quote("*"+y.Value))
		}
		c.open[y.Alias] = true
		defer delete(c.open, y.Alias)
		return c.convert(y.Alias, depth+1)
	case yaml.SequenceNode:
		n.kind = kindSeq
		n.kids = slices.Grow(n.kids, len(y.Content))
		for _, k := range y.Content {
			kid, err := c.convert(k, depth+1)
			if err != nil {
				return nil, err
			}
			n.kids = append(n.kids, kid)
		}
		return n, nil
	case yaml.MappingNode:
		n.kind = kindMap
		return n, c.mapping(n, y, depth)
	}
	return n, nil
}

func (c *converter) scalar(n *node, y *yaml.Node) error {
	n.text = y.Value
	n.literal = y.Style&yaml.LiteralStyle != 0
	quoted := y.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	if y.Style&yaml.TaggedStyle != 0 {
		switch tag := y.ShortTag(); tag {
		case "!!str":
			n.kind = kindString
		case "!!int", "!!float", "!!bool", "!!null":
			n.kind = resolvePlain(y.Value)
		default:
			return c.fault(y, "YAML tag %s is not for manifests", quote(tag))
		}
		return nil
	}
	n.kind = kindString
	if !quoted {
		n.plain = true
		n.kind = resolvePlain(y.Value)
	}
	return nil
}

func (c *converter) mapping(n *node, y *yaml.Node, depth int) error {
	n.kids = slices.Grow(n.kids, len(y.Content))
	var merged []*node
	for i := 0; i+1 < len(y.Content); i += 2 {
		k := y.Content[i]
		if k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		if k.Kind != yaml.ScalarNode {
			return c.fault(y.Content[i], "a key must be a word, not a list or mapping")
		}
		key, err := c.convert(k, depth+1)
		if err != nil {
			return err
		}
		val, err := c.convert(y.Content[i+1], depth+1)
		if err != nil {
			return err
		}
		if key.plain && key.text == "<<" {
			m, err := c.merge(val)
			if err != nil {
				return err
			}
			merged = append(merged, m...)
			continue
		}
		n.kids = append(n.kids, key, val)
	}
	for i := 0; i < len(merged); i += 2 { // own keys win, then the earlier of the merged ones
		if n.get(merged[i].text) == nil {
			n.kids = append(n.kids, merged[i], merged[i+1])
		}
	}
	return nil
}

func (c *converter) merge(v *node) ([]*node, error) {
	switch v.kind {
	case kindMap:
		return slices.Clone(v.kids), nil
	case kindSeq:
		var all []*node
		for _, k := range v.kids {
			if k.kind != kindMap {
				return nil, c.doc.file.fault(Position{c.doc.file.name, int(k.line), int(k.col)}, "<< merges mappings, not %s", k.kind)
			}
			all = append(all, k.kids...)
		}
		return all, nil
	}
	return nil, c.doc.file.fault(Position{c.doc.file.name, int(v.line), int(v.col)}, "<< merges mappings, not %s", v.kind)
}

func (c *converter) fault(y *yaml.Node, format string, args ...any) error {
	return c.doc.file.fault(c.doc.lines(y.Line, y.Column), format, args...)
}
