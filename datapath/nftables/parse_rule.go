package nftables

import (
	"net/netip"
	"slices"
	"strings"
)

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

func (p *parser) bitOp() string {
	for op, w := range bitWords {
		if p.takePunct(op) || p.takeWord(w) {
			return op
		}
	}
	if p.isPunct("<<") || p.isPunct(">>") {
		return ""
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

func (p *parser) reject() (Statement, error) {
	p.advance()
	if !p.takeWord("with") {
		return Reject{}, nil
	}
	kind, err := p.word("icmp, icmpv6, icmpx or tcp")
	if err != nil {
		return nil, err
	}
	p.takeWord("type")
	code, err := p.word("a code")
	if err != nil {
		return nil, err
	}
	codes := map[string][]string{
		"icmp":   {"net-unreachable", "host-unreachable", "prot-unreachable", "port-unreachable", "net-prohibited", "host-prohibited", "admin-prohibited"},
		"icmpv6": {"no-route", "admin-prohibited", "addr-unreachable", "port-unreachable", "policy-fail", "reject-route"},
		"icmpx":  {"no-route", "port-unreachable", "host-unreachable", "admin-prohibited"},
		"tcp":    {"reset"},
	}
	if !slices.Contains(codes[kind], code) {
		return nil, &SyntaxError{Text: kind + " " + code, Want: "a reason that reject knows"}
	}
	if code == "port-unreachable" && kind == map[Family]string{IP: "icmp", IP6: "icmpv6", INet: "icmpx"}[p.family] {
		return Reject{}, nil
	}
	return Reject{With: kind + " " + code}, nil
}

func (p *parser) counter() (Statement, error) {
	p.advance()
	var c CounterStatement
	var err error
	switch {
	case p.takeWord("name"):
		if p.tok.kind != tokString && p.tok.kind != tokWord {
			return nil, p.want("the name of a counter")
		}
		c.Name = p.advance().text
		if c.Name == "" {
			return nil, p.want("the name of a counter")
		}
	case p.takeWord("packets"):
		if c.Packets, err = p.count("a number of packets"); err != nil {
			return nil, err
		}
		if !p.takeWord("bytes") {
			return nil, p.want("bytes")
		}
		c.Bytes, err = p.count("a number of bytes")
	}
	return c, err
}

func (p *parser) limit() (Statement, error) {
	p.advance()
	if !p.takeWord("rate") {
		return nil, &UnsupportedError{Construct: "limit " + p.tok.name()}
	}
	var l Limit
	l.Over = p.takeWord("over")
	w, err := p.word("a rate")
	if err != nil {
		return nil, err
	}
	n, unit, ok := strings.Cut(w, "/")
	if l.Rate, ok = number(n); !ok {
		return nil, &SyntaxError{Text: w, Want: "a rate such as 5/second"}
	}
	if !slices.Contains([]string{"second", "minute", "hour", "day", "week"}, unit) {
		return nil, &UnsupportedError{Construct: "limit rate " + w}
	}
	l.Unit = unit
	if p.takeWord("burst") {
		if l.Burst, err = p.count("a number of packets"); err != nil {
			return nil, err
		}
		if !p.takeWord("packets") {
			return nil, p.want("packets")
		}
	}
	return l, nil
}

func (p *parser) log() (Statement, error) {
	p.advance()
	l := Log{Group: -1}
	for {
		var err error
		switch {
		case p.takeWord("prefix"):
			l.Prefix, err = p.str("a prefix in quotation marks")
		case p.takeWord("level"):
			l.Level, err = p.word("a level")
			if err == nil && !slices.Contains([]string{"emerg", "alert", "crit", "err", "warn", "notice", "info", "debug", "audit"}, l.Level) {
				err = &SyntaxError{Text: l.Level, Want: "a level of the log"}
			}
		case p.takeWord("group"):
			var n uint64
			if n, err = p.count("a group"); err == nil && n > 65535 {
				err = &SyntaxError{Text: "group", Want: "a number up to 65535 after it"}
			}
			l.Group = int(n)
		case p.isWord("flags"), p.isWord("snaplen"), p.isWord("queue-threshold"):
			return nil, &UnsupportedError{Construct: "log " + p.tok.text}
		default:
			return l, nil
		}
		if err != nil {
			return nil, err
		}
		if l.Group >= 0 && l.Level != "" {
			return nil, &SyntaxError{Text: "level", Want: "level or group, not both"}
		}
	}
}

func (p *parser) setUpdate() (Statement, error) {
	s := SetUpdate{Op: p.advance().text}
	if !p.isPunct("@") {
		return nil, p.want(`"@" and the name of a set`)
	}
	p.advance()
	var err error
	if s.Set, err = p.word("the name of a set"); err != nil {
		return nil, err
	}
	if err = p.expect("{"); err != nil {
		return nil, err
	}
	if s.Key, err = p.expr(); err != nil {
		return nil, err
	}
	if p.takeWord("timeout") {
		if s.Timeout, err = p.duration(); err != nil {
			return nil, err
		}
	}
	if p.tok.kind == tokWord {
		return nil, &UnsupportedError{Construct: s.Op + " @" + s.Set + " with " + p.tok.text}
	}
	return s, p.expect("}")
}

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
		if i < 0 || i+1 < len(w) && w[i+1] != ':' {
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
