package nftables

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

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

func (p *parser) elementsOf(c *Command, list []RawElement) Command {
	return Command{Verb: Add, Kind: KindElement, Family: c.Family, Table: c.Table, Name: c.Name, Elements: list, File: c.File, Line: list[0].Line, Index: -1}
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
