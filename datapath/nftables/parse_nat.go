package nftables

import (
	"net/netip"
	"strings"
)

// nat reads a translation.
func (p *parser) nat() (Statement, error) {
	n := NAT{Kind: NATKind(p.advance().text)}
	address := n.Kind == DNAT || n.Kind == SNAT
	if address {
		if p.isWord("ip") || p.isWord("ip6") {
			n.Family = Family(p.advance().text)
		}
		switch {
		case p.takeWord("addr"):
			if !p.takeWord(".") || !p.takeWord("port") {
				return nil, p.want(". port")
			}
			n.AddrPort = true
		case p.isWord("prefix"), p.isWord("interval"):
			return nil, &UnsupportedError{Construct: string(n.Kind) + " " + p.tok.text}
		}
		if !p.isWord("to") {
			return nil, p.want("to")
		}
	}
	if p.takeWord("to") {
		if err := p.natTarget(&n, address); err != nil {
			return nil, err
		}
	}
	for p.isWord("random") || p.isWord("fully-random") || p.isWord("persistent") {
		n.Flags = append(n.Flags, p.advance().text)
		p.takePunct(",")
	}
	return n, nil
}

func (p *parser) natType(n *NAT, text string) DataType {
	f := n.Family
	if f == "" {
		f = p.family
	}
	if f == IP6 || f != IP && strings.Contains(text, ":") && !strings.Contains(text, ".") {
		return TypeIPv6
	}
	return TypeIPv4
}

func (p *parser) natTarget(n *NAT, address bool) error {
	if address && p.startsExpr() {
		e, err := p.expr()
		if err != nil {
			return err
		}
		if !p.takeWord("map") {
			n.To = e
			return nil
		}
		m := MapLookup{Key: e}
		if p.isPunct("@") {
			if m.Map, err = p.setRef(e.Types()); err != nil {
				return err
			}
			m.To = []DataType{p.natType(n, "")}
		} else {
			if err := p.expect("{"); err != nil {
				return err
			}
			if err := p.natMap(n, &m); err != nil {
				return err
			}
		}
		if n.AddrPort && len(m.To) == 1 {
			m.To = append(m.To, TypePort)
		}
		n.To = m
		return nil
	}
	w, err := p.word("a target")
	if err != nil {
		return err
	}
	addr, port := w, ""
	switch {
	case strings.HasPrefix(w, "["):
		i := strings.LastIndexByte(w, ']')
		if i < 2 || i+1 < len(w) && w[i+1] != ':' {
			return &SyntaxError{Text: w, Want: "an address in brackets and a port"}
		}
		addr = strings.NewReplacer("[", "", "]", "").Replace(w[:i+1])
		port = strings.TrimPrefix(w[i+1:], ":")
		if i+1 < len(w) && port == "" {
			return &SyntaxError{Text: w, Want: "a port"}
		}
	case address && p.natType(n, w) == TypeIPv6:
	default:
		var colon bool
		if addr, port, colon = strings.Cut(w, ":"); colon && port == "" {
			return &SyntaxError{Text: w, Want: "a port"}
		}
	}
	if addr != "" {
		if !address {
			return &SyntaxError{Text: w, Want: "a port after a colon"}
		}
		v, err := parseInterval(p.natType(n, addr), addr)
		if err != nil {
			return err
		}
		if strings.Contains(addr, "/") {
			return &UnsupportedError{Construct: string(n.Kind) + " to a prefix"}
		}
		n.To = Literal{Interval: v, Range: true}
	}
	if port != "" {
		v, err := parseInterval(TypePort, port)
		if err != nil {
			return err
		}
		n.Port = Literal{Interval: v}
	}
	return nil
}

// natMap reads a literal map of targets. A listing does not say `addr . port`: the values tell.
func (p *parser) natMap(n *NAT, m *MapLookup) error {
	save := *p // elements are read twice: once to see how many parts the values have
	raw, err := p.elements()
	if err != nil {
		return err
	}
	m.To = []DataType{p.natType(n, "")}
	if len(raw) > 0 && len(raw[0].Data) > 0 {
		if a, err := netip.ParseAddr(raw[0].Data[0]); err == nil && n.Family == "" && p.family == INet && a.Is6() {
			m.To[0] = TypeIPv6
		}
		if len(raw[0].Data) == 2 {
			n.AddrPort = true
			m.To = append(m.To, TypePort)
		}
	}
	after := *p
	p.lex, p.tok = save.lex, save.tok
	if m.Map, err = p.literalSet(m.Key.Types(), m.To); err != nil {
		return err
	}
	p.lex, p.tok = after.lex, after.tok
	return nil
}
