package nftables

import (
	"slices"
	"strings"
	"time"
)

// tableBlock reads a table with its contents. Chains are made before sets, sets before elements and elements before rules,
// whatever the order of the text, as nft does it.
func (p *parser) tableBlock(c *Command) error {
	p.advance()
	p.listed = true
	c.NewTable.Handle = p.handle()
	var chains, sets, elements, rules []Command
	sub := func(k Kind) Command {
		return Command{Verb: Add, Kind: k, Family: c.Family, Table: c.Table, File: c.File, Line: p.tok.line, Index: -1}
	}
	for {
		p.skip(";")
		if p.takePunct("}") {
			break
		}
		w, err := p.word(`an object of the table or "}"`)
		if err != nil {
			return err
		}
		o := sub(Kind(w))
		switch Kind(w) {
		case "comment":
			if c.NewTable.Comment, err = p.str("a comment in quotation marks"); err != nil {
				return err
			}
			continue
		case "flags":
			if c.NewTable.Flags, err = p.words("a flag"); err != nil {
				return err
			}
			continue
		case KindChain, KindSet, KindMap, KindCounter:
			if o.Name, err = p.word("a name"); err != nil {
				return err
			}
			if err = p.expect("{"); err != nil {
				return err
			}
		case "flowtable", "quota", "limit", "secmark", "synproxy", "ct":
			return &UnsupportedError{Construct: w}
		default:
			return &SyntaxError{Text: w, Want: "chain, set, map, counter, comment or flags"}
		}
		switch o.Kind {
		case KindChain:
			o.Chain = &Chain{Name: o.Name, Handle: p.handle()}
			if err := p.chainBlock(o.Chain, true); err != nil {
				return err
			}
			for _, r := range o.Chain.Rules {
				x := sub(KindRule)
				x.Name, x.Rule, x.Line = o.Name, r, r.Line
				rules = append(rules, x)
			}
			o.Chain.Rules = nil
			chains = append(chains, o)
		case KindSet, KindMap:
			o.Set = &Set{Name: o.Name, Handle: p.handle()}
			list, err := p.setBlock(o.Set, o.Kind)
			if err != nil {
				return err
			}
			sets = append(sets, o)
			if len(list) > 0 {
				elements = append(elements, p.elementsOf(&o, list))
			}
		case KindCounter:
			o.Counter = &Counter{Name: o.Name, Handle: p.handle()}
			if err := p.counterBlock(o.Counter); err != nil {
				return err
			}
			sets = append(sets, o)
		}
	}
	p.out = append(p.out, *c)
	for _, list := range [][]Command{chains, sets, elements, rules} {
		p.out = append(p.out, list...)
	}
	return nil
}

// words reads a list with commas.
func (p *parser) words(what string) ([]string, error) {
	var out []string
	for {
		w, err := p.word(what)
		if err != nil {
			return nil, err
		}
		out = append(out, w)
		if !p.takePunct(",") {
			return out, nil
		}
	}
}

func (p *parser) chainBlock(c *Chain, rules bool) error {
	for {
		p.skip(";")
		if p.takePunct("}") {
			break
		}
		var err error
		switch {
		case p.takeWord("comment"):
			c.Comment, err = p.str("a comment in quotation marks")
		case p.isWord("type"):
			err = p.hook(c)
		case p.takeWord("policy"):
			var w string
			if w, err = p.word("accept or drop"); err == nil && w != "accept" && w != "drop" {
				err = &SyntaxError{Text: w, Want: "accept or drop"}
			}
			c.Policy = VerdictKind(w)
		case p.isWord("flags"), p.isWord("devices"):
			return &UnsupportedError{Construct: "chain " + p.tok.text}
		case rules:
			var r *Rule
			if r, err = p.rule(); err == nil {
				c.Rules = append(c.Rules, r)
			}
		default:
			return p.want(`type, policy, comment or "}"`)
		}
		if err != nil {
			return err
		}
		if err := p.end(); err != nil {
			return err
		}
	}
	if c.Policy != "" && !c.Base() {
		return &SyntaxError{Text: "policy", Want: "a hook beside it"}
	}
	if c.Base() && c.Policy == "" {
		c.Policy = Accept
	}
	return nil
}

// hook reads `type filter hook input priority filter - 10`.
func (p *parser) hook(c *Chain) error {
	p.advance()
	w, err := p.word("filter, nat or route")
	if err != nil {
		return err
	}
	switch c.Type = ChainType(w); c.Type {
	case FilterChain, NATChain, RouteChain:
	default:
		return &SyntaxError{Text: w, Want: "filter, nat or route"}
	}
	if !p.takeWord("hook") {
		return p.want("hook")
	}
	if w, err = p.word("a hook"); err != nil {
		return err
	}
	switch h := Hook(w); h {
	case Prerouting, Input, Forward, Output, Postrouting, Ingress, Egress:
		c.Hook = h
	default:
		return &SyntaxError{Text: w, Want: "a hook"}
	}
	if p.takeWord("device") {
		if p.tok.kind != tokString && p.tok.kind != tokWord {
			return p.want("the name of an interface")
		}
		c.Device = p.advance().text
	}
	if !p.takeWord("priority") {
		return p.want("priority")
	}
	var words []string
	for p.tok.kind == tokWord && len(words) < 3 {
		words = append(words, p.advance().text)
	}
	text := strings.Join(words, " ")
	n, ok := parsePriority(p.family, text)
	if !ok {
		return &SyntaxError{Text: text, Want: "a priority: a number, or a name with + or - a number"}
	}
	c.Priority = n
	return nil
}

func (p *parser) counterBlock(c *Counter) error {
	for {
		p.skip(";")
		if p.takePunct("}") {
			return nil
		}
		var err error
		switch {
		case p.takeWord("comment"):
			c.Comment, err = p.str("a comment in quotation marks")
		case p.takeWord("packets"):
			if c.Packets, err = p.count("a number of packets"); err == nil {
				if !p.takeWord("bytes") {
					return p.want("bytes")
				}
				c.Bytes, err = p.count("a number of bytes")
			}
		default:
			return p.want(`packets, comment or "}"`)
		}
		if err != nil {
			return err
		}
	}
}

func (p *parser) setBlock(s *Set, k Kind) ([]RawElement, error) {
	var elements []RawElement
	for {
		p.skip(";")
		if p.takePunct("}") {
			break
		}
		w, err := p.word(`an attribute of the set or "}"`)
		if err != nil {
			return nil, err
		}
		switch w {
		case "type":
			err = p.setType(s, k)
		case "typeof":
			err = p.setTypeOf(s, k)
		case "flags":
			if s.Flags, err = p.words("a flag"); err == nil {
				for _, f := range s.Flags {
					if !slices.Contains([]string{"constant", "dynamic", "interval", "timeout"}, f) {
						return nil, &SyntaxError{Text: f, Want: "constant, dynamic, interval or timeout"}
					}
				}
			}
		case "timeout":
			s.Timeout, err = p.duration()
		case "gc-interval":
			s.GCInterval, err = p.duration()
		case "size":
			s.Size, err = p.count("a size")
		case "policy":
			if s.Policy, err = p.word("performance or memory"); err == nil && s.Policy != "performance" && s.Policy != "memory" {
				err = &SyntaxError{Text: s.Policy, Want: "performance or memory"}
			}
		case "auto-merge":
			s.AutoMerge = true
		case "comment":
			s.Comment, err = p.str("a comment in quotation marks")
		case "elements":
			p.skip("")
			if err = p.expect("="); err == nil {
				if err = p.expect("{"); err == nil {
					elements, err = p.elements()
				}
			}
		default:
			return nil, &SyntaxError{Text: w, Want: "an attribute of a " + string(k)}
		}
		if err != nil {
			return nil, err
		}
		if err := p.end(); err != nil {
			return nil, err
		}
	}
	if len(s.Key) == 0 {
		return nil, &SyntaxError{Text: s.Name, Want: "a type for the " + string(k)}
	}
	return elements, nil
}

func (p *parser) duration() (d time.Duration, err error) {
	w, err := p.word("a time")
	if err != nil {
		return 0, err
	}
	d, ok := parseDuration(w)
	if !ok {
		return 0, &SyntaxError{Text: w, Want: "a time such as 1h30m"}
	}
	return d, nil
}

func (p *parser) typeList() ([]DataType, error) {
	var out []DataType
	for {
		w, err := p.word("a type")
		if err != nil {
			return nil, err
		}
		t := DataType(w)
		if !t.known() {
			return nil, &UnsupportedError{Construct: "type " + w}
		}
		out = append(out, t)
		if !p.takeWord(".") {
			return out, nil
		}
	}
}

func (p *parser) setType(s *Set, k Kind) error {
	var err error
	if s.Key, err = p.typeList(); err != nil {
		return err
	}
	if slices.Contains(s.Key, TypeVerdict) {
		return &SyntaxError{Text: "verdict", Want: "a type of keys"}
	}
	if k == KindMap {
		if !p.takeWord(":") {
			return p.want(`":" and the type of values`)
		}
		s.Data, err = p.typeList()
	}
	return err
}

func (p *parser) setTypeOf(s *Set, k Kind) error {
	e, err := p.expr()
	if err != nil {
		return err
	}
	s.KeyOf, s.Key = e, e.Types()
	if k != KindMap {
		return nil
	}
	if !p.takeWord(":") {
		return p.want(`":" and the type of values`)
	}
	if p.takeWord("verdict") {
		s.Data = []DataType{TypeVerdict}
		return nil
	}
	if e, err = p.expr(); err != nil {
		return err
	}
	s.DataOf, s.Data = e, e.Types()
	return nil
}
