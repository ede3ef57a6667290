package input

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// document is one YAML document or a run of JSON values, cut out of a file.
type document struct {
	file      *file
	text      string
	firstLine int // line of the file that text begins in, from 1
}

// file is a whole input and what is needed to point into it.
type file struct {
	name string
	data []byte

	lastOffset, lastLine int // where place last counted to: places are asked for mostly in order
}

var bom = []byte("\xef\xbb\xbf")

// cut splits YAML at its document markers. A line that begins with --- or ... can stand nowhere inside a document
// (YAML 1.2.2, rule c-forbidden), so that the cut needs no parser. Documents with nothing but comments are dropped.
func (f *file) cut() []document {
	var docs []document
	data := strings.TrimPrefix(string(f.data), string(bom))
	line, start, startLine := 1, 0, 1
	empty := true
	flush := func(end int) {
		if !empty {
			docs = append(docs, document{file: f, text: data[start:end], firstLine: startLine})
		}
		empty = true
	}
	for i := 0; i < len(data); {
		end := strings.IndexByte(data[i:], '\n')
		if end < 0 {
			end = len(data)
		} else {
			end += i
		}
		l := data[i:end]
		switch {
		case marker(l, "---"):
			if !empty && directivesOnly(data[start:i]) {
				empty = false // %YAML lines belong to the document they announce
			} else {
				flush(i)
				start, startLine = i, line
			}
			if rest := strings.TrimSpace(l[3:]); len(rest) > 0 && rest[0] != '#' {
				empty = false
			}
		case marker(l, "..."):
			flush(i)
			start, startLine = end, line
			if end < len(data) {
				start, startLine = end+1, line+1
			}
		case empty:
			if t := strings.TrimSpace(l); len(t) > 0 && t[0] != '#' {
				empty = false
			}
		}
		i = end + 1
		line++
	}
	if !empty {
		docs = append(docs, document{file: f, text: data[start:], firstLine: startLine})
	}
	return docs
}

// marker reports whether a line is the document marker m, alone or followed by white space.
func marker(line, m string) bool {
	if len(line) < 3 || line[:3] != m {
		return false
	}
	return len(line) == 3 || line[3] == ' ' || line[3] == '\t' || line[3] == '\r'
}

func directivesOnly(s string) bool {
	for l := range strings.Lines(s) {
		if l = strings.TrimSpace(l); len(l) > 0 && l[0] != '#' && l[0] != '%' {
			return false
		}
	}
	return true
}

// scan finds what no manifest may contain: NUL and other control characters, and invalid UTF-8.
func (f *file) scan() error {
	d := f.data
	for i := 0; i < len(d); {
		c := d[i]
		if c < utf8.RuneSelf {
			if c < 0x20 && c != '\n' && c != '\t' && c != '\r' || c == 0x7f {
				return f.errorAt(i, "control character %s: not a text file", quote(string(d[i:i+1])))
			}
			i++
			continue
		}
		r, n := utf8.DecodeRune(d[i:])
		if r == utf8.RuneError && n == 1 {
			return f.errorAt(i, "byte 0x%02x is not valid UTF-8", c)
		}
		i += n
	}
	return nil
}

// place turns a byte offset into a position.
func (f *file) place(offset int) Position {
	offset = min(offset, len(f.data))
	if offset < f.lastOffset || f.lastLine == 0 {
		f.lastOffset, f.lastLine = 0, 1
	}
	f.lastLine += bytes.Count(f.data[f.lastOffset:offset], []byte{'\n'})
	f.lastOffset = offset
	before := f.data[:offset]
	col := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	if f.lastLine == 1 && bytes.HasPrefix(before, bom) {
		col--
	}
	return Position{File: f.name, Line: f.lastLine, Col: col}
}

// where is the position of a node of this file.
func (f *file) where(n *node) Position {
	if n.line == offsetLine {
		return f.place(int(n.col))
	}
	return Position{File: f.name, Line: int(n.line), Col: int(n.col)}
}

// snippet shows a line, cut to a width around the column, with a caret below it.
func (f *file) snippet(line, col int) string {
	const width = 76
	d := f.data
	for ; line > 1; line-- {
		i := bytes.IndexByte(d, '\n')
		if i < 0 {
			return ""
		}
		d = d[i+1:]
	}
	if i := bytes.IndexByte(d, '\n'); i >= 0 {
		d = d[:i]
	}
	if len(d) > 1<<16 { // a very long line: look only at the part around the column
		from := max(0, min(col-width, len(d)))
		col -= from
		d = d[from:min(len(d), from+4*width)]
	}
	text := []rune(strings.ToValidUTF8(strings.TrimRight(string(d), "\r"), "?"))
	for i, r := range text {
		if r < 0x20 || r == 0x7f || r == 0xfeff {
			text[i] = ' '
		}
	}
	if col > width {
		from := min(col-width/2, len(text))
		text, col = text[from:], col-from
	}
	if len(text) > width {
		text = text[:width]
	}
	if col < 1 || col > len(text)+1 {
		return string(text)
	}
	return string(text) + "\n" + strings.Repeat(" ", col-1) + "^"
}
