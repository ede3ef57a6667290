package iptables

import (
	"strings"
)

// RestoreOptions are iptables-restore's.
type RestoreOptions struct {
	NoFlush  bool   // --noflush: keep what the text does not name; a declared user chain that exists is flushed
	Counters bool   // --counters: take over the counters given in the text
	Table    string // -T: only this table; "" for all
}

// Restore does what iptables-restore does with a text: each table takes effect at its COMMIT, all of it or nothing, and the
// first refusal ends the run with the tables committed so far in place (iptables/iptables-restore.c, v1.8.9, legacy).
// Errors are *PositionError with the reason inside.
func (rs *Ruleset) Restore(file, text string, opt RestoreOptions) error {
	in := newRestorer(rs, file, opt)
	for text != "" {
		line := text
		if i := strings.IndexByte(text, '\n'); i >= 0 {
			line, text = text[:i], text[i+1:]
		} else {
			text = ""
		}
		if err := in.line(line); err != nil {
			return err
		}
	}
	return in.end()
}

// restorer reads one text for one ruleset.
type restorer struct {
	rs     *Ruleset
	opt    RestoreOptions
	file   *string
	number int32
	parser ruleParser
	tokens []token

	tx      *transaction
	opened  int32 // line of the *table
	ignored bool  // -T names another table
	lenient bool  // counters that cannot be read count as zero
}

func newRestorer(rs *Ruleset, file string, opt RestoreOptions) *restorer {
	in := &restorer{rs: rs, opt: opt}
	if file != "" {
		in.file = &file
	}
	in.parser.family = rs.Family
	in.parser.restore = true
	in.parser.isChain = func(n string) bool { return in.tx.table.chains[n] != nil }
	return in
}

func (in *restorer) pos() Position { return Position{File: in.file, Line: in.number} }

// line reads one line, without its newline.
func (in *restorer) line(s string) error {
	in.number++
	if len(s) > maxLineBytes {
		return in.pos().wrap(refuse("line", "longer than 10239 bytes, which is what iptables-restore reads", s))
	}
	if strings.IndexByte(s, 0) >= 0 {
		return in.pos().wrap(refuse("line", "contains a NUL byte", s))
	}
	switch {
	case s == "" || s[0] == '#':
		return nil
	case in.tx == nil && s[0] == '*':
		return in.pos().wrap(in.open(s[1:]))
	case in.tx == nil:
		return in.pos().wrap(refuse("", "rule or chain outside a table (no *table line)", s))
	case s == "COMMIT":
		return in.commit()
	case in.ignored:
		return nil
	case s[0] == ':':
		return in.pos().wrap(in.declare(s[1:]))
	}
	return in.pos().wrap(in.command(s))
}

func (in *restorer) end() error {
	if in.tx == nil {
		return nil
	}
	in.number++
	return &PositionError{File: Position{File: in.file}.file(), Line: int(in.number), Err: ErrNoCommit}
}

// field cuts the first blank-separated word off.
func field(s string) (word, rest string) {
	s = strings.TrimLeft(s, " \t")
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], s[i+1:]
	}
	return s, ""
}

func (in *restorer) open(s string) error {
	name, _ := field(s)
	id, ok := ParseTable(name)
	if !ok {
		return refuse("table", "unknown table", name)
	}
	in.ignored = in.opt.Table != "" && in.opt.Table != name
	in.tx = in.rs.begin(id)
	in.parser.table = id
	in.opened = in.number
	if !in.opt.NoFlush {
		in.tx.flushAll()
	}
	return nil
}

func (in *restorer) declare(s string) error {
	name, rest := field(s)
	policy, rest := field(rest)
	switch {
	case name == "":
		return refuse("chain", "chain name invalid", ":"+s)
	case len(name) > maxChainName:
		return refuse("chain", "chain names have at most 28 characters", name)
	case policy == "":
		return refuse("chain", "policy invalid", ":"+s)
	}
	c := in.tx.table.chains[name]
	switch {
	case c != nil && c.Builtin:
	case c == nil && standardVerdict(name) != nil:
		return &ChainError{":", in.tx.table.ID, name, ErrChainExists}
	case c == nil:
		name = strings.Clone(name)
		c = in.tx.add(name, in.pos())
	case in.opt.NoFlush:
		c = in.tx.write(name)
		c.Rules = nil
		c.Pos = in.pos()
		in.tx.refs = nil
	default:
		return &ChainError{":", in.tx.table.ID, name, ErrChainExists}
	}
	if policy == "-" {
		return nil
	}
	if !c.Builtin {
		return refuse("chain", "only built-in chains have a policy", ":"+s)
	}
	v, ok := parsePolicy(policy)
	if !ok {
		return refuse("chain", "bad policy name", policy)
	}
	n := new(Counters)
	if in.opt.Counters {
		ctrs, _ := field(rest)
		if *n, ok = parseCounters(ctrs); !ok && !in.lenient {
			return refuse("chain", "invalid policy counters", ":"+s)
		}
	}
	c = in.tx.write(name)
	c.Policy, c.Counters = v, n
	return nil
}

// parseCounters reads [packets:bytes].
func parseCounters(s string) (Counters, bool) {
	if len(s) < 2 || s[0] != '[' || s[len(s)-1] != ']' {
		return Counters{}, false
	}
	p, b, ok := strings.Cut(s[1:len(s)-1], ":")
	if !ok {
		return Counters{}, false
	}
	x, ok1 := parseUint(p, 1<<64-1)
	y, ok2 := parseUint(b, 1<<64-1)
	return Counters{x, y}, ok1 && ok2
}

func (in *restorer) command(s string) error {
	var ctr Counters
	if s[0] == '[' {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return refuse("counters", "need ]", s)
		}
		if strings.IndexByte(s[:end], ':') < 0 {
			return refuse("counters", "need :", s)
		}
		if s[1] == ':' {
			return refuse("counters", "need ]", s)
		}
		if in.opt.Counters {
			var ok bool
			if ctr, ok = parseCounters(s[:end+1]); !ok && !in.lenient {
				return refuse("counters", "not numeric", s[:end+1])
			}
		}
		s = s[end+1:]
	}
	var err error
	if in.tokens, err = splitRestore(in.tokens[:0], s); err != nil {
		return err
	}
	if n := len(in.tokens); n > 0 && unclosed(s) {
		in.tokens[n-1].text += "\n"
	}
	p := &in.parser
	if err := p.parse(in.tokens); err != nil {
		return err
	}
	if ctr != (Counters{}) {
		p.counters = ctr
	}
	if p.help {
		return refuse("", "prints help or version and ends the run with nothing loaded", s)
	}
	if p.skip {
		return nil
	}
	return in.tx.apply(p, ruleText(s, in.tokens), in.pos())
}

func (in *restorer) commit() error {
	tx, ignored := in.tx, in.ignored
	in.tx, in.ignored = nil, false
	if ignored {
		return nil
	}
	if pos, err := tx.check(in.rs.Family); err != nil {
		if pos.Line == 0 {
			pos = in.pos()
		}
		return pos.wrap(err)
	}
	in.rs.put(tx.table)
	return nil
}

// ruleText is the rule as given: the line without its -A and chain where it begins with them, else every argument but
// the command's.
func ruleText(line string, args []token) string {
	if len(args) < 2 || args[0].text != "-A" || args[1].quoted {
		return ""
	}
	line = strings.TrimLeft(line, " \t")[len("-A"):]
	line = strings.TrimLeft(line, " \t")
	rest, ok := strings.CutPrefix(line, args[1].text)
	if !ok {
		return ""
	}
	return strings.Trim(rest, " \t\r")
}
