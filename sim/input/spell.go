package input

import (
	"encoding/json"
	"strconv"
	"strings"
)

// appendJSON spells a tree as JSON.
func (n *node) appendJSON(b []byte) []byte {
	switch n.kind {
	case kindNull:
		return append(b, "null"...)
	case kindBool:
		return strconv.AppendBool(b, isTrue(n.text))
	case kindInt:
		x, _ := parseYAMLInt(strings.ReplaceAll(n.text, "_", ""))
		return strconv.AppendInt(b, x, 10)
	case kindFloat:
		f, err := strconv.ParseFloat(strings.ReplaceAll(n.text, "_", ""), 64)
		if s, e := json.Marshal(f); e == nil && err == nil {
			return append(b, s...)
		}
		return append(b, "null"...)
	case kindSeq:
		b = append(b, '[')
		for i, k := range n.kids {
			if i > 0 {
				b = append(b, ',')
			}
			b = k.appendJSON(b)
		}
		return append(b, ']')
	case kindMap:
		b = append(b, '{')
		for i := 0; i < len(n.kids); i += 2 {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, n.kids[i].text), ':')
			b = n.kids[i+1].appendJSON(b)
		}
		return append(b, '}')
	}
	return appendString(b, n.text)
}

func appendString(b []byte, s string) []byte {
	q, _ := json.Marshal(s)
	return append(b, q...)
}
