package nftables

// Parse reads what `nft -f` reads: commands, one a line, and tables as `nft list` prints them, which become the commands that
// make them. The name is that of the file, for errors, which are PositionErrors.
func Parse(name, text string) ([]Command, error) {
	p := parser{file: name, lex: lexer{src: text, line: 1}}
	return p.parse()
}

func (p *parser) parse() ([]Command, error) {
	p.advance()
	for {
		p.skip(";")
		if p.tok.kind == tokEnd {
			return p.out, nil
		}
		if err := p.command(); err != nil {
			return nil, p.at(err)
		}
	}
}

type parser struct {
	file   string
	lex    lexer
	tok    token
	out    []Command
	family Family // of the table that rules are read for
	listed bool   // inside a listing: rules keep no text of their own
	blocks bool   // some table was written as a block
	// handles says that the text shows handles, as nft -a does.
	handles bool
}

func (p *parser) advance() token {
	t := p.tok
	p.tok = p.lex.next()
	p.handles = p.handles || p.tok.handle != 0
	return t
}

func (p *parser) at(err error) error {
	if _, ok := err.(*PositionError); ok {
		return err
	}
	return &PositionError{File: p.file, Line: p.tok.line, Err: err}
}

func (p *parser) want(what string) error {
	if p.tok.text == `"` && p.tok.kind == tokPunct {
		what = "a closing quotation mark"
	}
	return &SyntaxError{Text: p.tok.name(), Want: what}
}

// skip passes over line ends, remarks of nft -a, and the marks named.
func (p *parser) skip(marks string) {
	for p.tok.kind == tokLine || p.isPunct("#") || marks != "" && p.isPunct(marks) {
		p.advance()
	}
}

func (p *parser) isPunct(s string) bool { return p.tok.kind == tokPunct && p.tok.text == s }
func (p *parser) isWord(s string) bool  { return p.tok.kind == tokWord && p.tok.text == s }

func (p *parser) takePunct(s string) bool {
	if !p.isPunct(s) {
		return false
	}
	p.advance()
	return true
}

func (p *parser) takeWord(s string) bool {
	if !p.isWord(s) {
		return false
	}
	p.advance()
	return true
}

func (p *parser) word(what string) (string, error) {
	if p.tok.kind != tokWord {
		return "", p.want(what)
	}
	return p.advance().text, nil
}

func (p *parser) str(what string) (string, error) {
	if p.tok.kind != tokString {
		return "", p.want(what)
	}
	return p.advance().text, nil
}

func (p *parser) expect(mark string) error {
	if !p.takePunct(mark) {
		return p.want(`"` + mark + `"`)
	}
	return nil
}

// handle takes the handle that nft -a shows, 0 if there is none.
func (p *parser) handle() uint64 {
	if p.isPunct("#") {
		return p.advance().handle
	}
	return 0
}

// end is the end of a command or of an attribute.
func (p *parser) end() error {
	switch {
	case p.tok.kind == tokEnd || p.tok.kind == tokLine:
	case p.isPunct(";"):
		p.advance()
	case p.isPunct("}") || p.isPunct("#"):
	default:
		return p.want("the end of the line")
	}
	return nil
}

func (p *parser) command() error {
	c := Command{Verb: Add, File: p.file, Line: p.tok.line, Index: -1}
	w, err := p.word("a command")
	if err != nil {
		return err
	}
	switch v := Verb(w); v {
	case Add, Create, Insert, Replace, Delete, Destroy, Flush:
		c.Verb = v
		if w, err = p.word("what to " + string(v)); err != nil {
			return err
		}
	case "table":
		p.blocks = true
	case "list", "monitor", "export", "rename", "reset", "describe", "import", "include", "define", "undefine", "redefine":
		return &UnsupportedError{Construct: w}
	default:
		return &SyntaxError{Text: w, Want: "a command"}
	}
	c.Kind = Kind(w)
	switch c.Kind {
	case KindRuleset:
		if c.Verb != Flush {
			return &SyntaxError{Text: w, Want: "flush ruleset"}
		}
		if p.tok.kind == tokWord {
			return &UnsupportedError{Construct: "flush ruleset " + p.tok.text}
		}
		p.out = append(p.out, c)
		return p.end()
	case KindTable, KindChain, KindRule, KindSet, KindMap, KindElement, KindCounter:
	case "flowtable", "quota", "limit", "secmark", "synproxy", "ct", "meter":
		return &UnsupportedError{Construct: string(c.Verb) + " " + w}
	default:
		return &SyntaxError{Text: w, Want: "table, chain, rule, set, map, element or counter"}
	}
	if err := p.place(&c); err != nil {
		return err
	}
	if !allowed(c.Verb, c.Kind) {
		return &SyntaxError{Text: string(c.Verb) + " " + w, Want: "a command that exists"}
	}
	if err := p.object(&c); err != nil {
		return err
	}
	return p.end()
}

func allowed(v Verb, k Kind) bool {
	switch v {
	case Insert, Replace:
		return k == KindRule
	case Create:
		return k != KindRule
	case Flush:
		return k == KindTable || k == KindChain || k == KindSet || k == KindMap
	}
	return true
}

// place reads family, table and name.
func (p *parser) place(c *Command) error {
	c.Family = IP
	if p.tok.kind == tokWord && isFamily(p.tok.text) {
		c.Family = Family(p.advance().text)
	}
	p.family = c.Family
	var err error
	if p.isWord("handle") {
		return &UnsupportedError{Construct: string(c.Verb) + " " + string(c.Kind) + " by handle"}
	}
	if c.Table, err = p.word("the name of a table"); err != nil {
		return err
	}
	if c.Kind == KindTable {
		return nil
	}
	if p.isWord("handle") && c.Kind != KindRule {
		return &UnsupportedError{Construct: string(c.Verb) + " " + string(c.Kind) + " by handle"}
	}
	c.Name, err = p.word("the name of a " + string(c.Kind))
	return err
}

// object reads what is particular to the kind, and adds the command, or the commands that a block stands for.
func (p *parser) object(c *Command) error {
	p.listed = false
	making := c.Verb == Add || c.Verb == Create
	switch c.Kind {
	case KindTable:
		if making {
			c.NewTable = &Table{}
			if p.isPunct("{") {
				return p.tableBlock(c)
			}
		}
	case KindChain:
		if making {
			c.Chain = &Chain{Name: c.Name}
			if p.takePunct("{") {
				if err := p.chainBlock(c.Chain, false); err != nil {
					return err
				}
			}
		}
	case KindSet, KindMap:
		if making {
			c.Set = &Set{Name: c.Name}
			if err := p.expect("{"); err != nil {
				return err
			}
			elements, err := p.setBlock(c.Set, c.Kind)
			if err != nil {
				return err
			}
			p.out = append(p.out, *c)
			if len(elements) > 0 {
				p.out = append(p.out, p.elementsOf(c, elements))
			}
			return nil
		}
	case KindCounter:
		if making {
			c.Counter = &Counter{Name: c.Name}
			if p.takePunct("{") {
				if err := p.counterBlock(c.Counter); err != nil {
					return err
				}
			}
		}
	case KindElement:
		if err := p.expect("{"); err != nil {
			return err
		}
		var err error
		if c.Elements, err = p.elements(); err != nil {
			return err
		}
	case KindRule:
		if err := p.ruleCommand(c); err != nil {
			return err
		}
	}
	p.out = append(p.out, *c)
	return nil
}

func (p *parser) ruleCommand(c *Command) error {
	switch {
	case p.takeWord("handle"), p.takeWord("position"):
		h, err := p.count("a handle")
		if err != nil {
			return err
		}
		c.Handle = h
	case p.takeWord("index"):
		n, err := p.count("an index")
		if err != nil || n > 1<<31 {
			return p.want("an index")
		}
		c.Index = int(n)
	}
	if c.Verb == Delete || c.Verb == Destroy || c.Verb == Replace {
		if c.Handle == 0 {
			return p.want("the handle of a rule")
		}
		if c.Verb != Replace {
			return nil
		}
	}
	var err error
	c.Rule, err = p.rule()
	return err
}

func (p *parser) count(what string) (uint64, error) {
	if p.tok.kind != tokWord {
		return 0, p.want(what)
	}
	n, ok := number(p.tok.text)
	if !ok {
		return 0, p.want(what)
	}
	p.advance()
	return n, nil
}
