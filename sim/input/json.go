package input

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonReader reads JSON values one after the other, as RFC 8259 has them, into trees.
type jsonReader struct {
	file  *file
	data  string // the whole file: strings without escapes are parts of it
	pos   int
	arena *arena
}

func newJSONReader(f *file, a *arena) *jsonReader {
	r := &jsonReader{file: f, data: string(f.data), arena: a}
	if strings.HasPrefix(r.data, string(bom)) {
		r.pos = len(bom)
	}
	return r
}

func (r *jsonReader) fault(format string, args ...any) error {
	return r.file.errorAt(r.pos, format, args...)
}

func (r *jsonReader) space() {
	for r.pos < len(r.data) {
		switch r.data[r.pos] {
		case ' ', '\t', '\r', '\n':
			r.pos++
		default:
			return
		}
	}
}

// more reports whether another value follows.
func (r *jsonReader) more() bool {
	r.space()
	return r.pos < len(r.data)
}

// value reads one value. The nodes it makes are counted against the arena's limit.
func (r *jsonReader) value(depth int) (*node, error) {
	r.space()
	if r.pos >= len(r.data) {
		return nil, r.fault("JSON ends in the middle of a value")
	}
	if depth > maxDepth {
		return nil, r.fault("nested more than %d levels deep", maxDepth)
	}
	n := r.arena.new()
	if r.arena.full() {
		return nil, r.fault("more than %d values in one object", r.arena.most)
	}
	n.line, n.col = offsetLine, int32(r.pos)
	switch c := r.data[r.pos]; {
	case c == '{':
		return n, r.object(n, depth)
	case c == '[':
		return n, r.array(n, depth)
	case c == '"':
		s, err := r.str()
		n.kind, n.text = kindString, s
		return n, err
	case c == '-' || c >= '0' && c <= '9':
		return n, r.number(n)
	}
	for _, w := range [...]struct {
		text string
		kind kind
	}{{"true", kindBool}, {"false", kindBool}, {"null", kindNull}} {
		if r.word(w.text) {
			n.kind, n.text = w.kind, w.text
			return n, nil
		}
	}
	return nil, r.fault("not JSON: %s where a value should begin", quote(r.near()))
}

func (r *jsonReader) near() string {
	end := min(r.pos+12, len(r.data))
	for i := r.pos; i < end; i++ {
		if r.data[i] == '\n' || r.data[i] == '\r' {
			end = i
		}
	}
	return r.data[min(r.pos, end):end]
}

func (r *jsonReader) word(w string) bool {
	if len(r.data)-r.pos < len(w) || r.data[r.pos:r.pos+len(w)] != w {
		return false
	}
	r.pos += len(w)
	return true
}

func (r *jsonReader) object(n *node, depth int) error {
	n.kind = kindMap
	return r.members(func(key *node) error {
		val, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		n.kids = append(n.kids, key, val)
		return nil
	})
}

// members reads an object and calls each with every key, standing before its value.
func (r *jsonReader) members(each func(key *node) error) error {
	r.pos++ // {
	r.space()
	if r.pos < len(r.data) && r.data[r.pos] == '}' {
		r.pos++
		return nil
	}
	for {
		r.space()
		if r.pos >= len(r.data) || r.data[r.pos] != '"' {
			return r.unexpected(`a "key"`)
		}
		key := r.arena.new()
		key.line, key.col, key.kind = offsetLine, int32(r.pos), kindString
		s, err := r.str()
		if err != nil {
			return err
		}
		key.text = s
		r.space()
		if r.pos >= len(r.data) || r.data[r.pos] != ':' {
			return r.unexpected(`":" after the key ` + quote(s))
		}
		r.pos++
		if err := each(key); err != nil {
			return err
		}
		done, err := r.next('}')
		if done || err != nil {
			return err
		}
	}
}

// next reads the comma or the closing bracket after an element.
func (r *jsonReader) next(closing byte) (bool, error) {
	r.space()
	if r.pos < len(r.data) {
		switch r.data[r.pos] {
		case closing:
			r.pos++
			return true, nil
		case ',':
			r.pos++
			return false, nil
		}
	}
	return false, r.unexpected(`"," or "` + string(closing) + `"`)
}

func (r *jsonReader) unexpected(want string) error {
	if r.pos >= len(r.data) {
		return r.fault("JSON ends where %s should stand", want)
	}
	return r.fault("not JSON: %s where %s should stand", quote(r.near()), want)
}

func (r *jsonReader) array(n *node, depth int) error {
	n.kind = kindSeq
	return r.elements(func() error {
		v, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		n.kids = append(n.kids, v)
		return nil
	})
}

// elements reads an array and calls each before every element.
func (r *jsonReader) elements(each func() error) error {
	r.pos++ // [
	r.space()
	if r.pos < len(r.data) && r.data[r.pos] == ']' {
		r.pos++
		return nil
	}
	for {
		if err := each(); err != nil {
			return err
		}
		done, err := r.next(']')
		if done || err != nil {
			return err
		}
	}
}

func (r *jsonReader) number(n *node) error {
	start := r.pos
	isFloat := false
	for r.pos < len(r.data) {
		c := r.data[r.pos]
		if c == '.' || c == 'e' || c == 'E' {
			isFloat = true
		} else if c != '-' && c != '+' && (c < '0' || c > '9') {
			break
		}
		r.pos++
	}
	n.text = r.data[start:r.pos]
	n.kind = kindInt
	digits := n.text
	if digits[0] == '-' {
		digits = digits[1:]
	}
	ok := digits != "" && digits[0] >= '0' && digits[0] <= '9' && !leadingZero(digits)
	if ok && isFloat {
		n.kind = kindFloat
		_, err := strconv.ParseFloat(n.text, 64)
		ok = err == nil || len(digits) > 0 && digits[len(digits)-1] >= '0'
	} else if ok {
		for i := range digits {
			ok = ok && digits[i] >= '0' && digits[i] <= '9'
		}
	}
	if !ok {
		r.pos = start
		return r.fault("not JSON: %s is no number", quote(n.text))
	}
	return nil
}

// str reads a string. Text without escapes is not copied: nodes point into the file.
func (r *jsonReader) str() (string, error) {
	start := r.pos
	for i := r.pos + 1; i < len(r.data); i++ {
		switch c := r.data[i]; {
		case c == '"':
			r.pos = i + 1
			return r.data[start+1 : i], nil
		case c == '\\':
			return r.escaped(start, i)
		case c < 0x20:
			r.pos = i
			return "", r.fault("not JSON: control character %s in a string", quote(string(rune(c))))
		}
	}
	return "", r.fault("JSON string without its closing quote")
}

func (r *jsonReader) escaped(start, i int) (string, error) {
	b := []byte(r.data[start+1 : i])
	for i < len(r.data) {
		c := r.data[i]
		switch {
		case c == '"':
			r.pos = i + 1
			return string(b), nil
		case c < 0x20:
			r.pos = i
			return "", r.fault("not JSON: control character %s in a string", quote(string(rune(c))))
		case c != '\\':
			b = append(b, c)
			i++
			continue
		}
		i++
		if i >= len(r.data) {
			break
		}
		switch e := r.data[i]; e {
		case '"', '\\', '/':
			b = append(b, e)
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			u, ok := r.hex4(i + 1)
			if !ok {
				r.pos = i - 1
				return "", r.fault(`not JSON: \u needs four hexadecimal digits`)
			}
			i += 4
			if utf16.IsSurrogate(u) {
				low := rune(utf8.RuneError)
				if i+2 < len(r.data) && r.data[i+1] == '\\' && r.data[i+2] == 'u' {
					if v, ok := r.hex4(i + 3); ok {
						low = v
					}
				}
				if u = utf16.DecodeRune(u, low); u != utf8.RuneError {
					i += 6
				}
			}
			b = utf8.AppendRune(b, u)
		default:
			r.pos = i - 1
			return "", r.fault(`not JSON: unknown escape %s`, quote("\\"+string(rune(e))))
		}
		i++
	}
	return "", r.fault("JSON string without its closing quote")
}

func (r *jsonReader) hex4(i int) (rune, bool) {
	if i+4 > len(r.data) {
		return 0, false
	}
	v, err := strconv.ParseUint(r.data[i:i+4], 16, 16)
	return rune(v), err == nil
}
