package sequence

import (
	"bytes"
	"encoding/json"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/svclab/svclab/sim/input"
)

// located finds the objects of a sequence in its text, so that complaints about them point at their lines: the text of
// each object goes to package input on its own, in the place where it stands in the file.
type located struct {
	name  string
	lines [][]byte
	root  *yaml.Node // of the document; nil where the text was not understood a second time
}

func locate(name string, data []byte) *located {
	l := &located{name: name, lines: bytes.SplitAfter(data, []byte("\n"))}
	var doc yaml.Node
	if yaml.Unmarshal(data, &doc) == nil && len(doc.Content) == 1 {
		l.root = doc.Content[0]
	}
	return l
}

// span is a node and the last line that can belong to it.
type span struct {
	node *yaml.Node
	last int
}

// field is the value of a key of a mapping.
func (s span) field(key string) span {
	if s.node == nil || s.node.Kind != yaml.MappingNode {
		return span{}
	}
	c := s.node.Content
	for i := 0; i+1 < len(c); i += 2 {
		if c[i].Value != key {
			continue
		}
		last := s.last
		if i+2 < len(c) {
			last = c[i+2].Line - 1
		}
		return span{c[i+1], last}
	}
	return span{}
}

// item is an element of a list.
func (s span) item(i int) span {
	if s.node == nil || s.node.Kind != yaml.SequenceNode || i >= len(s.node.Content) {
		return span{}
	}
	last := s.last
	if i+1 < len(s.node.Content) {
		last = s.node.Content[i+1].Line - 1
	}
	return span{s.node.Content[i], last}
}

// sources makes an input of each object of a list; at is the list in the text.
func (l *located) sources(objects []json.RawMessage, at span) []input.Source {
	var out []input.Source
	for i, o := range objects {
		out = append(out, input.Source{Name: l.name, Data: l.text(o, at.item(i))})
	}
	return out
}

// text is the object's own text, on its own lines and in its own columns. An object in flow style, or one that refers to
// anchors, is printed as JSON on the line where it begins.
func (l *located) text(object json.RawMessage, at span) []byte {
	if at.node == nil {
		return object
	}
	first := at.node.Line
	blank := bytes.Repeat([]byte("\n"), first-1)
	if at.node.Kind != yaml.MappingNode || at.node.Style&yaml.FlowStyle != 0 || refers(at.node) || at.last < first || at.last > len(l.lines) {
		return append(blank, object...)
	}
	indent := at.node.Column - 1
	line := l.lines[first-1]
	if indent > len(line) || strings.Trim(string(line[:indent]), " -") != "" {
		return append(blank, object...)
	}
	out := append(blank, bytes.Repeat([]byte(" "), indent)...)
	out = append(out, line[indent:]...)
	for _, line := range l.lines[first:at.last] {
		out = append(out, line...)
	}
	return out
}

// refers reports whether a tree has anchors or aliases.
func refers(n *yaml.Node) bool {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return true
	}
	for _, c := range n.Content {
		if refers(c) {
			return true
		}
	}
	return false
}
