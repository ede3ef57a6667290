package nftables

import "strings"

// rule reads statements and a comment up to the end of the line.
func (p *parser) rule() (*Rule, error) {
	r := &Rule{Line: p.tok.line}
	from, to := p.tok.from, p.tok.from
	terminal := false
	for !p.ruleEnd() {
		if p.takeWord("comment") {
			var err error
			if r.Comment, err = p.str("a comment in quotation marks"); err != nil {
				return nil, err
			}
			break
		}
		if terminal {
			return nil, &SyntaxError{Text: p.tok.name(), Want: "the end of the rule: what follows a verdict has no effect"}
		}
		s, err := p.statement()
		if err != nil {
			return nil, err
		}
		switch s := s.(type) {
		case Verdict:
			terminal = s.Kind != Continue
		case Reject, NAT:
			terminal = true
		}
		r.Statements = append(r.Statements, s)
		to = p.last()
	}
	if len(r.Statements) == 0 {
		return nil, p.want("a statement")
	}
	if !p.listed {
		r.Text = p.lex.src[from:to]
		if strings.ContainsAny(r.Text, "\n\r\t") || strings.Contains(r.Text, "  ") {
			r.Text = strings.Join(strings.Fields(r.Text), " ")
		}
	}
	r.Handle = p.handle()
	return r, nil
}

func (p *parser) ruleEnd() bool {
	return p.tok.kind == tokEnd || p.tok.kind == tokLine || p.isPunct(";") || p.isPunct("}") || p.isPunct("#")
}

// last is where the token before the one at hand ended.
func (p *parser) last() int {
	return len(strings.TrimRight(p.lex.src[:p.tok.from], " \t\r\\"))
}

func (p *parser) statement() (Statement, error) {
	if v, ok, err := p.verdict(); ok || err != nil {
		return v, err
	}
	if p.tok.kind != tokWord {
		return nil, p.want("a statement")
	}
	switch p.tok.text {
	case "reject":
		return p.reject()
	case "dnat", "snat", "masquerade", "redirect":
		return p.nat()
	case "counter":
		return p.counter()
	case "limit":
		return p.limit()
	case "log":
		return p.log()
	case "notrack":
		p.advance()
		return NoTrack{}, nil
	case "add", "update", "delete":
		return p.setUpdate()
	case "xt", "quota", "queue", "dup", "fwd", "flow", "tproxy", "synproxy", "meter", "set", "socket", "rt", "osf", "ipsec",
		"exthdr", "dccp", "ah", "esp", "comp", "vlan", "arp", "hbh", "frag", "mh", "dst", "srh", "igmp", "jhash", "symhash", "vxlan":
		name := p.advance().text
		if p.tok.kind == tokWord {
			name += " " + p.advance().text
		}
		if p.blocks && p.tok.kind == tokString && (name == "xt match" || name == "xt target") {
			return Opaque{name + ` "` + p.advance().text + `"`}, nil
		}
		return nil, &UnsupportedError{Construct: name}
	}
	left, err := p.expr()
	if err != nil {
		return nil, err
	}
	switch {
	case p.takeWord("set"):
		v, err := p.valueExpr(left.Types())
		return Assign{left, v}, err
	case p.takeWord("vmap"):
		m, err := p.mapRef(left.Types(), []DataType{TypeVerdict})
		return VerdictMap{left, m}, err
	}
	m := Match{Left: left}
	if p.tok.kind == tokPunct || p.tok.kind == tokWord {
		switch p.tok.text {
		case "==", "!=", "<", ">", "<=", ">=":
			m.Op = Op(p.advance().text)
		case "eq", "ne", "lt", "gt", "le", "ge":
			m.Op = map[string]Op{"eq": OpEq, "ne": OpNe, "lt": OpLt, "gt": OpGt, "le": OpLe, "ge": OpGe}[p.advance().text]
		}
	}
	if _, bits := left.(Binary); !bits && m.Op == OpEq {
		m.Op = OpImplicit // nft lists the two alike
	} else if bits && m.Op == OpImplicit {
		m.Op = OpEq
	}
	if of := left.Types(); p.tok.kind == tokWord && of[0] == TypeMark && len(of) == 1 && strings.Contains(p.tok.text, "/") {
		return p.leadingBits(m)
	}
	m.Right, err = p.right(left.Types())
	return m, err
}
