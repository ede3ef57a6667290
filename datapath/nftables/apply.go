package nftables

import (
	"maps"
	"slices"
	"strconv"
)

// Run carries out a text as `nft -f` does: all of it, or nothing. Errors are PositionErrors.
func (r *Ruleset) Run(name, text string) error {
	cmds, err := Parse(name, text)
	if err != nil {
		return err
	}
	return r.Apply(cmds)
}

// Apply carries out a transaction: all of it, or nothing. Errors are PositionErrors.
func (r *Ruleset) Apply(cmds []Command) error { return r.apply(cmds, false) }

// apply with loose set takes rules and elements that lead to chains, sets and counters which are not there, as fragments of
// listings do.
func (r *Ruleset) apply(cmds []Command, loose bool) error {
	tx := transaction{old: r.tables, tables: maps.Clone(r.tables), own: map[*Table]*owned{}, loose: loose}
	if tx.tables == nil {
		tx.tables = map[tableKey]*Table{}
	}
	for i := range cmds {
		c := &cmds[i]
		if err := tx.do(c); err != nil {
			if _, ok := err.(*PositionError); ok {
				return err
			}
			return &PositionError{File: c.File, Line: c.Line, Err: err}
		}
	}
	if !loose {
		for t, o := range tx.own {
			if tx.tables[tableKey{t.Family, t.Name}] != t {
				continue
			}
			if err := t.validate(); err != nil {
				return &PositionError{File: o.file, Line: o.line, Err: err}
			}
		}
	}
	r.tables = tx.tables
	return nil
}

// transaction works on copies: a table is copied when it is first written to, a chain or set when it is.
type transaction struct {
	old, tables map[tableKey]*Table
	own         map[*Table]*owned
	loose       bool
}

// owned is what of a table is the transaction's own copy.
type owned struct {
	chains map[string]bool
	sets   map[string]bool
	file   string // of the last command
	line   int
}

func (tx *transaction) table(c *Command) (*Table, *owned, error) {
	k := tableKey{c.Family, c.Table}
	t := tx.tables[k]
	if t == nil {
		return nil, nil, &NotFoundError{"table", c.Table}
	}
	o := tx.own[t]
	if o == nil {
		t = t.clone()
		o = &owned{chains: map[string]bool{}, sets: map[string]bool{}}
		tx.own[t] = o
		tx.tables[k] = t
	}
	o.file, o.line = c.File, c.Line
	return t, o, nil
}

// chain returns a chain that may be written.
func (t *Table) chain(o *owned, name string) (*Chain, error) {
	c := t.chains[name]
	if c == nil {
		return nil, &NotFoundError{"chain", name}
	}
	if !o.chains[name] {
		copied := *c
		copied.Rules = slices.Clone(c.Rules)
		c = &copied
		t.chains[name], o.chains[name] = c, true
	}
	return c, nil
}

// set returns a set or map that may be written. The kind "element" takes both.
func (t *Table) set(o *owned, name string, k Kind) (*Set, error) {
	s := t.sets[name]
	if s == nil || k == KindSet && s.IsMap() || k == KindMap && !s.IsMap() {
		kind := string(k)
		if k == KindElement {
			kind = "set"
		}
		return nil, &NotFoundError{kind, name}
	}
	if !o.sets[name] {
		copied := *s
		copied.elements = maps.Clone(s.elements)
		s = &copied
		t.sets[name], o.sets[name] = s, true
	}
	return s, nil
}

func (tx *transaction) do(c *Command) error {
	switch c.Kind {
	case KindRuleset:
		clear(tx.tables)
		return nil
	case KindTable:
		return tx.doTable(c)
	}
	t, o, err := tx.table(c)
	if err != nil {
		if c.Verb == Destroy {
			return nil
		}
		return err
	}
	switch c.Kind {
	case KindChain:
		err = tx.doChain(t, o, c)
	case KindSet, KindMap:
		err = tx.doSet(t, o, c)
	case KindCounter:
		err = tx.doCounter(t, c)
	case KindElement:
		return tx.doElements(t, o, c)
	case KindRule:
		err = tx.doRule(t, o, c)
	}
	if c.Verb == Destroy && IsNotFound(err) {
		return nil
	}
	return err
}

func (tx *transaction) doTable(c *Command) error {
	k := tableKey{c.Family, c.Table}
	have := tx.tables[k]
	switch c.Verb {
	case Add, Create:
		if have != nil {
			if c.Verb == Create {
				return &ExistsError{"table", c.Table}
			}
			return nil // comment and flags of a table stay as they are
		}
		t := newTable(c.Family, c.Table)
		t.Comment, t.Flags, t.Handle = c.NewTable.Comment, c.NewTable.Flags, c.NewTable.Handle
		tx.tables[k] = t
		tx.own[t] = &owned{chains: map[string]bool{}, sets: map[string]bool{}, file: c.File, line: c.Line}
	case Delete, Destroy:
		if have == nil && c.Verb == Delete {
			return &NotFoundError{"table", c.Table}
		}
		delete(tx.tables, k)
	case Flush:
		t, o, err := tx.table(c)
		if err != nil {
			return err
		}
		for name := range t.chains {
			ch, _ := t.chain(o, name)
			t.flush(ch)
		}
	}
	return nil
}

func (tx *transaction) doChain(t *Table, o *owned, c *Command) error {
	have := t.chains[c.Name]
	switch c.Verb {
	case Add, Create:
		if have == nil {
			fresh := *c.Chain
			t.chains[c.Name], o.chains[c.Name] = &fresh, true
			return nil
		}
		if c.Verb == Create || c.Chain.Base() && !have.Base() {
			return &ExistsError{"chain", c.Name}
		}
		if c.Chain.Base() && !have.same(c.Chain) {
			return &HookError{c.Name}
		}
		if c.Chain.Base() && c.Chain.Policy != have.Policy {
			ch, _ := t.chain(o, c.Name)
			ch.Policy = c.Chain.Policy
		}
		return nil
	}
	ch, err := t.chain(o, c.Name)
	if err != nil {
		return err
	}
	if c.Verb == Flush {
		t.flush(ch)
		return nil
	}
	rules := ch.Rules
	t.flush(ch) // rules of its own that lead back to it do not keep a chain
	if t.chainUse[c.Name] > 0 {
		ch.Rules = rules
		for _, r := range rules {
			t.count(r, 1)
		}
		return &BusyError{"chain", c.Name}
	}
	delete(t.chains, c.Name)
	delete(o.chains, c.Name)
	return nil
}

// same reports whether a base chain may be declared again like this.
func (c *Chain) same(d *Chain) bool {
	return c.Type == d.Type && c.Hook == d.Hook && c.Priority == d.Priority && c.Device == d.Device
}

func (t *Table) flush(c *Chain) {
	for _, r := range c.Rules {
		t.count(r, -1)
	}
	c.Rules = nil
}

func (tx *transaction) doRule(t *Table, o *owned, c *Command) error {
	ch, err := t.chain(o, c.Name)
	if err != nil {
		return err
	}
	at := -1
	if c.Handle != 0 {
		at = slices.IndexFunc(ch.Rules, func(r *Rule) bool { return r.Handle == c.Handle })
		if at < 0 {
			return &NotFoundError{"rule", "handle " + strconv.FormatUint(c.Handle, 10)}
		}
	} else if c.Index >= 0 {
		if at = c.Index; at >= len(ch.Rules) {
			return &NotFoundError{"rule", "index " + strconv.Itoa(c.Index)}
		}
	}
	if c.Verb == Delete || c.Verb == Destroy || c.Verb == Replace {
		t.count(ch.Rules[at], -1)
	}
	if c.Rule != nil && !tx.loose {
		for _, s := range c.Rule.Statements {
			if o, ok := s.(Opaque); ok {
				return &UnsupportedError{Construct: o.Text}
			}
		}
		if err := t.refers(c.Rule); err != nil {
			return err
		}
	}
	switch c.Verb {
	case Add, Create:
		if at < 0 {
			at = len(ch.Rules) - 1
		}
		ch.Rules = slices.Insert(ch.Rules, at+1, c.Rule)
	case Insert:
		ch.Rules = slices.Insert(ch.Rules, max(at, 0), c.Rule)
	case Replace:
		ch.Rules[at] = c.Rule
	default:
		ch.Rules = slices.Delete(ch.Rules, at, at+1)
		return nil
	}
	t.count(c.Rule, 1)
	return nil
}

func (tx *transaction) doCounter(t *Table, c *Command) error {
	have := t.counters[c.Name]
	switch {
	case c.Verb == Add || c.Verb == Create:
		if have != nil && c.Verb == Create {
			return &ExistsError{"counter", c.Name}
		}
		if have == nil {
			t.counters[c.Name] = c.Counter
		}
	case have == nil:
		return &NotFoundError{"counter", c.Name}
	case t.countUse[c.Name] > 0:
		return &BusyError{"counter", c.Name}
	default:
		delete(t.counters, c.Name)
	}
	return nil
}
