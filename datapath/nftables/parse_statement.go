package nftables

import (
	"slices"
	"strings"
)

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
