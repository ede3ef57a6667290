package nftables

import (
	"net/netip"
	"strings"
)

func (p *parser) elementsOf(c *Command, list []RawElement) Command {
	return Command{Verb: Add, Kind: KindElement, Family: c.Family, Table: c.Table, Name: c.Name, Elements: list, File: c.File, Line: list[0].Line, Index: -1}
}

// elements reads the inside of { }, whose first brace is gone.
func (p *parser) elements() ([]RawElement, error) {
	var out []RawElement
	for {
		p.skip("")
		if p.takePunct("}") {
			return out, nil
		}
		e, err := p.element()
		if err != nil {
			return nil, err
		}
		out = append(out, e)
		p.skip("")
		if !p.takePunct(",") && !p.isPunct("}") {
			return nil, p.want(`"," or "}"`)
		}
	}
}

// splitColon cuts the word at hand in two where a colon that is none of an address stands in it: `80:accept`, `:accept`.
func (p *parser) splitColon() {
	t := p.tok
	if t.kind != tokWord || len(t.text) < 2 {
		return
	}
	i := strings.IndexByte(t.text, ':')
	if i < 0 {
		return
	}
	if _, err := netip.ParseAddr(strings.SplitN(t.text, "/", 2)[0]); err == nil {
		return
	}
	if lo, hi, ok := strings.Cut(t.text, "-"); ok {
		if _, err := netip.ParseAddr(lo); err == nil {
			if _, err := netip.ParseAddr(hi); err == nil {
				return
			}
		}
	}
	if _, err := parseValue(TypeEther, t.text); err == nil {
		return
	}
	if i == 0 {
		i = 1
	}
	p.tok.text, p.tok.to = t.text[:i], t.from+i
	p.lex.pos, p.lex.line = p.tok.to, t.line
}

func (p *parser) parts() ([]string, error) {
	var out []string
	for {
		p.splitColon()
		if p.tok.kind != tokWord && p.tok.kind != tokString || p.isWord(":") || p.isWord(".") {
			return nil, p.want("a value")
		}
		out = append(out, p.advance().text)
		if !p.takeWord(".") {
			return out, nil
		}
	}
}

func (p *parser) element() (RawElement, error) {
	e := RawElement{Line: p.tok.line}
	var err error
	if e.Key, err = p.parts(); err != nil {
		return e, err
	}
	for {
		p.splitColon()
		switch {
		case p.takeWord("timeout"):
			e.Timeout, err = p.duration()
		case p.takeWord("expires"):
			e.Expires, err = p.duration()
		case p.takeWord("comment"):
			e.Comment, err = p.str("a comment in quotation marks")
		case p.isWord("counter"), p.isWord("limit"), p.isWord("quota"):
			return e, &UnsupportedError{Construct: "element with " + p.tok.text}
		case p.takeWord(":"):
			e.HasValue = true
			if v, ok, verr := p.verdict(); ok || verr != nil {
				e.Verdict = v
				return e, verr
			}
			e.Data, err = p.parts()
			return e, err
		default:
			return e, nil
		}
		if err != nil {
			return e, err
		}
	}
}

// verdict reads a verdict, if one is next.
func (p *parser) verdict() (v Verdict, ok bool, err error) {
	if p.tok.kind != tokWord {
		return v, false, nil
	}
	switch k := VerdictKind(p.tok.text); k {
	case Accept, Drop, Continue, Return:
		p.advance()
		return Verdict{Kind: k}, true, nil
	case Jump, Goto:
		p.advance()
		name, err := p.word("the name of a chain")
		return Verdict{k, name}, true, err
	case "queue":
		return v, false, &UnsupportedError{Construct: "queue"}
	}
	return v, false, nil
}
