package nftables

import (
	"slices"
	"strings"
)

// leadingBits reads `0x80000000/1`, as nft lists a comparison of the first bits of a mark.
func (p *parser) leadingBits(m Match) (Statement, error) {
	w := p.advance().text
	value, length, _ := strings.Cut(w, "/")
	v, err := parseValue(TypeMark, value)
	n, ok := number(length)
	if err != nil || !ok || n == 0 || n > 32 || m.Op != OpImplicit && m.Op != OpNe {
		return nil, &ValueError{Text: w, Type: TypeMark}
	}
	if m.Op == OpImplicit {
		m.Op = OpEq
	}
	m.Left = Binary{"&", m.Left, Literal{Interval: single(Value{Type: TypeMark, Num: 1<<32 - 1<<(32-n)})}}
	m.Right = Literal{Interval: single(v)}
	return m, nil
}

// startsExpr reports whether the word at hand begins an expression on the packet.
func (p *parser) startsExpr() bool {
	if p.tok.kind != tokWord {
		return false
	}
	switch w := p.tok.text; w {
	case "ip", "ip6", "tcp", "udp", "sctp", "udplite", "th", "icmp", "icmpv6", "ether", "meta", "ct", "fib", "numgen":
		return true
	default:
		return slices.Contains(bareRead, w)
	}
}

// expr reads an expression, concatenations and operations on bits included.
func (p *parser) expr() (Expr, error) {
	var parts []Expr
	for {
		e, err := p.primary()
		if err != nil {
			return nil, err
		}
		for op := p.bitOp(); op != ""; op = p.bitOp() {
			w, err := p.word("a number")
			if err != nil {
				return nil, err
			}
			v, err := parseValue(e.Types()[0], w)
			if err != nil {
				return nil, err
			}
			e = Binary{op, e, Literal{Interval: single(v)}}
		}
		parts = append(parts, e)
		if !p.takeWord(".") {
			break
		}
	}
	if len(parts) == 1 {
		return parts[0], nil
	}
	return Concat{parts}, nil
}

// bitOp takes an operator on bits; shifts are not modelled.
func (p *parser) bitOp() string {
	for op, w := range bitWords {
		if p.takePunct(op) || p.takeWord(w) {
			return op
		}
	}
	return ""
}

func (p *parser) primary() (Expr, error) {
	if !p.startsExpr() {
		return nil, p.want("a statement")
	}
	w := p.advance().text
	switch w {
	case "meta":
		key, err := p.word("a key of meta")
		if err != nil {
			return nil, err
		}
		if _, ok := metas[key]; !ok {
			return nil, &UnsupportedError{Construct: "meta " + key}
		}
		return Meta{key}, nil
	case "ct":
		key, err := p.word("a key of ct")
		if err != nil {
			return nil, err
		}
		if _, ok := ctKeys[key]; !ok {
			return nil, &UnsupportedError{Construct: "ct " + key}
		}
		return CT{key}, nil
	case "fib":
		return p.fib()
	case "numgen":
		return p.numgen()
	}
	if slices.Contains(bareRead, w) {
		return Meta{w}, nil
	}
	f, err := p.word("a field of " + w)
	if err != nil {
		return nil, err
	}
	e := Payload{w, f}
	if _, ok := fields[e]; !ok {
		return nil, &UnsupportedError{Construct: w + " " + f}
	}
	return e, nil
}

func (p *parser) fib() (Expr, error) {
	var f FIB
	for {
		w, err := p.word("saddr or daddr")
		if err != nil {
			return nil, err
		}
		if !slices.Contains([]string{"saddr", "daddr", "mark", "iif", "oif"}, w) {
			return nil, &SyntaxError{Text: w, Want: "saddr, daddr, mark, iif or oif"}
		}
		f.Flags = append(f.Flags, w)
		if !p.takeWord(".") {
			break
		}
	}
	w, err := p.word("type")
	if err != nil {
		return nil, err
	}
	if w != "type" {
		return nil, &UnsupportedError{Construct: "fib … " + w}
	}
	f.Result = w
	return f, nil
}

func (p *parser) numgen() (Expr, error) {
	var n Numgen
	switch {
	case p.takeWord("random"):
		n.Random = true
	case p.takeWord("inc"):
	default:
		return nil, p.want("random or inc")
	}
	if !p.takeWord("mod") {
		return nil, p.want("mod")
	}
	v, err := p.count("a number")
	if err != nil || v == 0 || v>>32 != 0 {
		return nil, &SyntaxError{Text: "mod", Want: "a number from 1 to 4294967295 after it"}
	}
	n.Mod = uint32(v)
	if p.takeWord("offset") {
		if v, err = p.count("a number"); err != nil || v>>32 != 0 {
			return nil, &SyntaxError{Text: "offset", Want: "a number up to 4294967295 after it"}
		}
		n.Offset = uint32(v)
	}
	return n, nil
}

// valueExpr is the right side of set: an expression on the packet, or a constant.
func (p *parser) valueExpr(of []DataType) (Expr, error) {
	if p.startsExpr() {
		e, err := p.expr()
		if err != nil || !p.isWord("map") {
			return e, err
		}
		p.advance()
		m, err := p.mapRef(e.Types(), of)
		return MapLookup{Key: e, Map: m, To: of}, err
	}
	if p.isPunct("{") || p.isPunct("@") {
		return nil, p.want("a value")
	}
	return p.right(of)
}

// right reads the right side of a match: a value, a range, a set by name, or a set written out.
func (p *parser) right(of []DataType) (Expr, error) {
	switch {
	case p.isPunct("@"):
		return p.setRef(of)
	case p.takePunct("{"):
		s, err := p.literalSet(of, nil)
		if set, ok := s.(SetLiteral); ok && len(set.Elements) == 1 && len(of) == 1 && !p.blocks {
			return Literal{Interval: set.Elements[0].Key[0]}, nil // nft loads a set of one as its element
		}
		return s, err
	}
	words, err := p.parts()
	if err != nil {
		return nil, err
	}
	if len(words) != len(of) {
		return nil, &SyntaxError{Text: strings.Join(words, " . "), Want: "a value of type " + types(of)}
	}
	if len(of) > 1 {
		return nil, &SyntaxError{Text: strings.Join(words, " . "), Want: "a set: concatenations are not compared with single values"}
	}
	v, err := parseInterval(of[0], words[0])
	if err != nil {
		return nil, err
	}
	l := Literal{Interval: v, Range: !v.Single() && !strings.Contains(words[0], "/")}
	for of[0].flags() && p.takePunct(",") {
		w, err := p.word("a " + string(of[0]))
		if err != nil {
			return nil, err
		}
		v, err := parseValue(of[0], w)
		if err != nil {
			return nil, err
		}
		l.Lo.Num |= v.Num
		l.Hi = l.Lo
	}
	return l, nil
}

func (p *parser) setRef(of []DataType) (Expr, error) {
	p.advance()
	name, err := p.word("the name of a set")
	return SetRef{name, of}, err
}

func (p *parser) literalSet(key, data []DataType) (Expr, error) {
	line := p.tok.line
	raw, err := p.elements()
	if err != nil {
		return nil, err
	}
	if len(raw) == 0 {
		return nil, &SyntaxError{Text: "}", Want: "an element"}
	}
	s := SetLiteral{Of: key}
	seen := map[string]string{}
	for i := range raw {
		if raw[i].HasValue != (len(data) > 0) {
			return nil, &PositionError{File: p.file, Line: raw[i].Line, Err: &SyntaxError{Text: strings.Join(raw[i].Key, " . "), Want: map[bool]string{true: "a value for each key", false: "keys without values"}[len(data) > 0]}}
		}
		e, err := raw[i].resolve(key, data)
		if err != nil {
			return nil, &PositionError{File: p.file, Line: raw[i].Line, Err: err}
		}
		k := keyText(e.Key, true)
		if v, twice := seen[k]; twice && v != e.value(true) {
			return nil, &PositionError{File: p.file, Line: line, Err: &ExistsError{Kind: "element", Name: k}}
		}
		seen[k] = e.value(true)
		for j, w := range raw[i].Key {
			s.Intervals = s.Intervals || strings.Contains(w, "/") || !e.Key[j].Single()
		}
		s.Elements = append(s.Elements, e)
	}
	return s, nil
}

// mapRef reads what stands after map or vmap.
func (p *parser) mapRef(key, data []DataType) (Expr, error) {
	switch {
	case p.isPunct("@"):
		return p.setRef(key)
	case p.takePunct("{"):
		return p.literalSet(key, data)
	}
	return nil, p.want(`"@" or "{"`)
}
