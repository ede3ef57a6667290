package nftables

import "strings"

type tokenKind uint8

const (
	tokEnd tokenKind = iota
	tokLine
	tokWord
	tokString // its text is without the quotes
	tokPunct
)

type token struct {
	kind     tokenKind
	text     string
	line     int
	from, to int // bytes of the source
	handle   uint64
}

// name is the token as an error shows it.
func (t token) name() string {
	switch t.kind {
	case tokEnd, tokLine:
		return ""
	}
	return t.text
}

// lexer splits nft text into words. What nft's own scanner keeps apart by context, as the colon of an IPv6 address and that
// between key and value, stays in one word here where no blank stands beside it; the parser looks again.
type lexer struct {
	src  string
	pos  int
	line int
}

const punctuation = "{},;()@=!<>|&^\"#\n \t\r\\"

func (l *lexer) next() token {
	for l.pos < len(l.src) {
		switch c := l.src[l.pos]; {
		case c == ' ' || c == '\t' || c == '\r':
			l.pos++
		case c == '\\' && strings.HasPrefix(l.src[l.pos+1:], "\n"):
			l.pos += 2
			l.line++
		case c == '#':
			if h, ok := l.comment(); ok {
				return h
			}
		case c == '\n':
			t := token{kind: tokLine, line: l.line, from: l.pos, to: l.pos + 1}
			l.pos++
			l.line++
			return t
		case c == '"':
			return l.quoted()
		case strings.IndexByte(punctuation, c) >= 0:
			return l.punct()
		default:
			t := token{kind: tokWord, line: l.line, from: l.pos}
			n := strings.IndexAny(l.src[l.pos:], punctuation)
			if n < 0 {
				n = len(l.src) - l.pos
			}
			l.pos += n
			t.to, t.text = l.pos, l.src[t.from:l.pos]
			return t
		}
	}
	return token{kind: tokEnd, line: l.line, from: l.pos, to: l.pos}
}

// comment passes over a remark up to the end of the line. `# handle N`, which nft -a adds, becomes a token with no text.
func (l *lexer) comment() (token, bool) {
	n := strings.IndexByte(l.src[l.pos:], '\n')
	if n < 0 {
		n = len(l.src) - l.pos
	}
	text := strings.TrimSpace(l.src[l.pos+1 : l.pos+n])
	t := token{kind: tokPunct, text: "#", line: l.line, from: l.pos, to: l.pos + n}
	l.pos += n
	rest, ok := strings.CutPrefix(text, "handle ")
	if !ok {
		return t, false
	}
	h, ok := number(strings.TrimSpace(rest))
	t.handle = h
	return t, ok && h > 0
}

func (l *lexer) quoted() token {
	t := token{kind: tokString, line: l.line, from: l.pos}
	n := strings.IndexAny(l.src[l.pos+1:], "\"\n")
	if n < 0 || l.src[l.pos+1+n] == '\n' { // never closed: the parser refuses the mark
		t.kind, t.text = tokPunct, `"`
		l.pos++
		t.to = l.pos
		return t
	}
	t.text = l.src[l.pos+1 : l.pos+1+n]
	l.pos += n + 2
	t.to = l.pos
	return t
}

func (l *lexer) punct() token {
	t := token{kind: tokPunct, line: l.line, from: l.pos}
	n := 1
	if l.pos+1 < len(l.src) {
		switch l.src[l.pos : l.pos+2] {
		case "==", "!=", "<=", ">=", "<<", ">>":
			n = 2
		}
	}
	l.pos += n
	t.to, t.text = l.pos, l.src[t.from:l.pos]
	return t
}
