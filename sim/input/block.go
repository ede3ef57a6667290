package input

import (
	"strings"
	"unicode/utf8"
)

// blockReader reads the plain part of YAML that kubectl prints, without copying: block mappings and sequences, one-line
// scalars, literal blocks, empty flow collections. Whatever lies outside (anchors, tags, flow style, folded or continued
// scalars, tabs, anything malformed) makes it give up, and the YAML library reads the document instead, so that only
// that library decides what is wrong. A fuzz test holds the two against each other.
type blockReader struct {
	s     string // the document
	arena *arena
	ascii bool

	line   int // of the current line, in the file
	bol    int // offset of its first byte
	pos    int // offset of what is read next
	end    int // offset after its last byte, without the line break
	next   int // offset of the line after it
	indent int // column of pos, from 0
	eof    bool
}

// readBlock reads a document, or reports false where the library must.
func (d document) readBlock(a *arena) (*node, bool) {
	a.reset(freeNodes + len(d.text)/blockBytes)
	if strings.IndexByte(d.text, '\r') >= 0 && strings.Count(d.text, "\r") != strings.Count(d.text, "\r\n") {
		return nil, false // a carriage return alone breaks lines, too
	}
	b := blockReader{s: d.text, arena: a, line: d.firstLine - 1, ascii: true}
	for i := 0; i < len(b.s); i++ {
		if b.s[i] >= utf8.RuneSelf {
			b.ascii = false
			break
		}
	}
	if !b.ascii {
		for _, special := range []string{"\u0085", "\u2028", "\u2029", "\ufeff"} { // line breaks of YAML 1.1; a BOM
			if strings.Contains(b.s, special) {
				return nil, false
			}
		}
	}
	if !b.advance() {
		return nil, false
	}
	if b.indent == 0 && marker(b.s[b.pos:b.end], "---") {
		if rest := strings.TrimLeft(b.s[b.pos+3:b.end], " "); rest != "" && rest[0] != '#' || !b.advance() {
			return nil, false
		}
	}
	n, ok := b.value(0)
	return n, ok && b.eof
}

// advance goes to the next line that holds more than blanks and a comment. It reports false at the end and, with eof
// unset, at a line this reader does not take.
func (b *blockReader) advance() bool {
	for b.next < len(b.s) {
		b.take()
		i := b.bol
		for i < b.end && b.s[i] == ' ' {
			i++
		}
		if i == b.end || b.s[i] == '#' {
			continue
		}
		if b.s[i] == '\t' {
			return false
		}
		b.pos, b.indent = i, i-b.bol
		return true
	}
	b.eof = true
	b.indent = -1
	return false
}

// take makes the line at next the current one.
func (b *blockReader) take() {
	b.line++
	b.bol = b.next
	b.end, b.next = len(b.s), len(b.s)
	if i := strings.IndexByte(b.s[b.bol:], '\n'); i >= 0 {
		b.end = b.bol + i
		b.next = b.end + 1
	}
	if b.end > b.bol && b.s[b.end-1] == '\r' {
		b.end--
	}
}

// follow goes on to the next line and reports whether that went well: a line to read, or the end.
func (b *blockReader) follow() bool { return b.advance() || b.eof }

func (b *blockReader) new(k kind, at int) *node {
	n := b.arena.new()
	n.kind, n.line = k, int32(b.line)
	if b.ascii {
		n.col = int32(at - b.bol + 1)
	} else {
		n.col = int32(utf8.RuneCountInString(b.s[b.bol:at]) + 1)
	}
	return n
}

// value reads the collection that begins at pos.
func (b *blockReader) value(depth int) (*node, bool) {
	if depth > maxDepth || b.arena.full() {
		return nil, false
	}
	if b.dash() {
		return b.sequence(depth)
	}
	return b.mapping(depth)
}

// dash reports whether an entry of a sequence begins at pos.
func (b *blockReader) dash() bool {
	return b.s[b.pos] == '-' && (b.pos+1 == b.end || b.s[b.pos+1] == ' ')
}

func (b *blockReader) sequence(depth int) (*node, bool) {
	indent := b.indent
	n := b.new(kindSeq, b.pos)
	for !b.eof && b.indent == indent && b.dash() {
		item, ok := b.item(indent, depth)
		if !ok {
			return nil, false
		}
		n.kids = append(n.kids, item)
	}
	return n, b.eof || b.indent < indent || b.indent == indent && !b.dash()
}

func (b *blockReader) item(indent, depth int) (*node, bool) {
	at := b.pos
	b.pos++
	if b.blank() {
		null := b.new(kindNull, at)
		null.plain = true
		if !b.follow() {
			return nil, false
		}
		if b.indent > indent {
			return b.value(depth + 1)
		}
		return null, true
	}
	b.indent = b.pos - b.bol
	if b.dash() || b.key() > 0 {
		return b.value(depth + 1)
	}
	return b.scalar(indent)
}

// blank skips spaces and reports whether nothing but a comment is left of the line. A comment needs a space before it.
func (b *blockReader) blank() bool {
	start := b.pos
	for b.pos < b.end && b.s[b.pos] == ' ' {
		b.pos++
	}
	return b.pos == b.end || b.s[b.pos] == '#' && b.pos > start
}

// key returns the offset of the colon after the key at pos, or 0 when the text there is no key.
func (b *blockReader) key() int {
	i := b.pos
	if q := b.s[i]; q == '"' || q == '\'' {
		j := strings.IndexByte(b.s[i+1:b.end], q)
		if j < 0 {
			return 0
		}
		i += j + 2
		if i < b.end && b.s[i] == ':' && (i+1 == b.end || b.s[i+1] == ' ') {
			return i
		}
		return 0
	}
	for ; i < b.end; i++ {
		switch b.s[i] {
		case ':':
			if i+1 == b.end || b.s[i+1] == ' ' {
				return i
			}
		case '#':
			if b.s[i-1] == ' ' {
				return 0
			}
		case '\t':
			return 0
		}
	}
	return 0
}

func (b *blockReader) mapping(depth int) (*node, bool) {
	indent := b.indent
	n := b.new(kindMap, b.pos)
	for !b.eof && b.indent == indent {
		colon := b.key()
		if colon == 0 || colon-b.pos > 1000 || b.arena.full() {
			return nil, false
		}
		key, ok := b.keyNode(colon)
		if !ok {
			return nil, false
		}
		b.pos = colon + 1
		val, ok := b.member(indent, depth)
		if !ok {
			return nil, false
		}
		n.kids = append(n.kids, key, val)
	}
	return n, b.eof || b.indent < indent
}

func (b *blockReader) keyNode(colon int) (*node, bool) {
	n := b.new(kindString, b.pos)
	text := b.s[b.pos:colon]
	if text == "" {
		return nil, false
	}
	if text[0] == '"' || text[0] == '\'' {
		n.text = text[1 : len(text)-1]
		return n, !strings.ContainsAny(n.text, `\'"`+"\t\r")
	}
	if trimmed := strings.TrimRight(text, " "); !plainStart(text) || len(trimmed) != len(text) || trimmed == "<<" || strings.IndexByte(text, '\r') >= 0 {
		return nil, false
	}
	n.text, n.plain, n.kind = text, true, resolvePlain(text)
	return n, true
}

// member reads what follows the colon of a key.
func (b *blockReader) member(indent, depth int) (*node, bool) {
	at := b.pos
	if b.blank() {
		null := b.new(kindNull, at)
		null.plain = true
		if !b.follow() {
			return nil, false
		}
		if b.eof || b.indent < indent || b.indent == indent && !b.dash() {
			return null, true
		}
		return b.value(depth + 1)
	}
	return b.scalar(indent)
}

// scalar reads the value that begins at pos and ends with its line, and goes on to the next line. indent is that of the
// collection it stands in: a deeper line after it would continue it.
func (b *blockReader) scalar(indent int) (*node, bool) {
	var n *node
	ok := false
	switch c := b.s[b.pos]; c {
	case '|':
		return b.literal(indent)
	case '{', '[':
		k, closing := kindMap, byte('}')
		if c == '[' {
			k, closing = kindSeq, ']'
		}
		n = b.new(k, b.pos)
		ok = b.pos+1 < b.end && b.s[b.pos+1] == closing
		b.pos += 2
	case '\'', '"':
		n, ok = b.quoted(c)
	default:
		n, ok = b.plain()
	}
	if !ok || b.pos > b.end || !b.blank() || !b.follow() {
		return nil, false
	}
	return n, b.indent <= indent
}

func (b *blockReader) quoted(q byte) (*node, bool) {
	n := b.new(kindString, b.pos)
	rest := b.s[b.pos+1 : b.end]
	i := strings.IndexByte(rest, q)
	if i < 0 || q == '\'' && i+1 < len(rest) && rest[i+1] == '\'' {
		return nil, false
	}
	n.text = rest[:i]
	b.pos += i + 2
	return n, q == '\'' || strings.IndexByte(n.text, '\\') < 0
}

func (b *blockReader) plain() (*node, bool) {
	if !plainStart(b.s[b.pos:b.end]) {
		return nil, false
	}
	n := b.new(kindString, b.pos)
	i := b.pos
scan:
	for ; i < b.end; i++ {
		switch b.s[i] {
		case ':':
			if i+1 == b.end || b.s[i+1] == ' ' {
				return nil, false
			}
		case '#':
			if b.s[i-1] == ' ' {
				break scan
			}
		case '\t', '\r':
			return nil, false
		}
	}
	n.text = strings.TrimRight(b.s[b.pos:i], " ")
	b.pos += len(n.text)
	n.plain, n.kind = true, resolvePlain(n.text)
	return n, true
}

// plainStart reports whether a plain scalar of the simple sort can begin like this.
func plainStart(s string) bool {
	switch s[0] {
	case ',', '[', ']', '{', '}', '#', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`', '?', ':':
		return false
	case '-':
		return len(s) > 1 && s[1] != ' ' && s[1] != '-'
	}
	return true
}

// literal reads a literal block scalar: |, |- or |+, its indentation taken from its first line.
func (b *blockReader) literal(indent int) (*node, bool) {
	header := b.s[b.pos:b.end]
	n := b.new(kindString, b.pos)
	n.literal = true
	if header != "|" && header != "|-" && header != "|+" {
		return nil, false
	}
	var text strings.Builder
	inner, lines, last := -1, 0, 0
	for b.next < len(b.s) {
		save := *b
		b.take()
		l := b.s[b.bol:b.end]
		in := len(l) - len(strings.TrimLeft(l, " "))
		if in == len(l) && (inner < 0 || in <= inner) {
			if inner < 0 && in > 0 {
				return nil, false // leading lines of blanks may fix the indentation: leave it to the library
			}
			lines++
			text.WriteByte('\n')
			continue
		}
		if inner < 0 {
			inner = in
		}
		if in < inner || inner <= indent {
			*b = save
			break
		}
		if strings.IndexByte(l, '\r') >= 0 || l[inner] == '\t' && in == inner {
			return nil, false
		}
		text.WriteString(l[inner:])
		text.WriteByte('\n')
		lines++
		last = text.Len()
	}
	if last == 0 {
		return nil, false
	}
	n.text = text.String()
	switch header {
	case "|":
		n.text = n.text[:last]
	case "|-":
		n.text = n.text[:last-1]
	}
	if strings.HasSuffix(b.s, "\n") || b.next < len(b.s) {
		return n, b.follow() && b.indent <= indent
	}
	return nil, false // no line break at the end of the file
}
