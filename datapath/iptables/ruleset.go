package iptables

import (
	"maps"
	"slices"
	"strconv"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// TableID names a table.
type TableID uint8

// The tables, in the order a packet meets them at one hook.
const (
	Raw TableID = iota
	Mangle
	NAT
	Filter
	Security
	NumTables
)

var tableNames = [...]string{"raw", "mangle", "nat", "filter", "security"}

// String is the name after -t.
func (t TableID) String() string {
	if int(t) < len(tableNames) {
		return tableNames[t]
	}
	return "table(" + strconv.Itoa(int(t)) + ")"
}

// ParseTable returns the table of a name.
func ParseTable(name string) (TableID, bool) {
	for i, n := range tableNames {
		if n == name {
			return TableID(i), true
		}
	}
	return 0, false
}

// tableHooks lists each table's built-in chains in netfilter order, which is the order iptables-save prints them in
// (net/ipv4/netfilter/iptable_*.c, valid_hooks).
var tableHooks = [NumTables][]netfilter.Hook{
	Raw:      {netfilter.PreRouting, netfilter.Output},
	Mangle:   {netfilter.PreRouting, netfilter.Input, netfilter.Forward, netfilter.Output, netfilter.PostRouting},
	NAT:      {netfilter.PreRouting, netfilter.Input, netfilter.Output, netfilter.PostRouting},
	Filter:   {netfilter.Input, netfilter.Forward, netfilter.Output},
	Security: {netfilter.Input, netfilter.Forward, netfilter.Output},
}

// Hooks returns the hooks at which a table has a built-in chain.
func (t TableID) Hooks() []netfilter.Hook { return tableHooks[t] }

// HasHook reports whether a table has a built-in chain at a hook.
func (t TableID) HasHook(h netfilter.Hook) bool { return slices.Contains(tableHooks[t], h) }

// Counters count packets and their IP bytes, headers included.
type Counters struct{ Packets, Bytes uint64 }

// Ruleset is what one family's iptables tables hold. Tables come into being when they are first named. It is mutable;
// the tables it holds are replaced, never changed, so that Clone costs nothing.
type Ruleset struct {
	Family packet.Family
	tables [NumTables]*Table
	order  []TableID // as the tables came into being
}

// NewRuleset returns a ruleset without tables.
func NewRuleset(f packet.Family) *Ruleset { return &Ruleset{Family: f} }

// Clone returns a copy that changes independently. Rules and tables are immutable and shared.
func (rs *Ruleset) Clone() *Ruleset {
	c := *rs
	c.order = slices.Clone(rs.order)
	return &c
}

// Table returns a table, nil when it does not exist. It must not be changed.
func (rs *Ruleset) Table(t TableID) *Table { return rs.tables[t] }

// Tables returns the existing tables in the order in which they came into being.
func (rs *Ruleset) Tables() []*Table {
	ts := make([]*Table, 0, len(rs.order))
	for _, id := range rs.order {
		ts = append(ts, rs.tables[id])
	}
	return ts
}

// Chain returns a chain, nil when it does not exist.
func (rs *Ruleset) Chain(t TableID, name string) *Chain {
	if rs.tables[t] == nil {
		return nil
	}
	return rs.tables[t].chains[name]
}

// NumRules is the number of rules of a table.
func (rs *Ruleset) NumRules(t TableID) int {
	n := 0
	if rs.tables[t] != nil {
		for _, c := range rs.tables[t].chains {
			n += len(c.Rules)
		}
	}
	return n
}

func (rs *Ruleset) put(t *Table) {
	if rs.tables[t.ID] == nil {
		rs.order = append(rs.order, t.ID)
	}
	rs.tables[t.ID] = t
}

// Table is one table: its built-in chains, always all of them, and its user chains.
type Table struct {
	ID     TableID
	chains map[string]*Chain
}

func newTable(id TableID) *Table {
	t := &Table{ID: id, chains: map[string]*Chain{}}
	for _, h := range tableHooks[id] {
		t.chains[h.String()] = &Chain{
			Name: h.String(), Builtin: true, Hook: h, Policy: netfilter.Accept, Counters: new(Counters),
		}
	}
	return t
}

// Chains returns the chains in iptables-save order: built-in chains in netfilter order, then the others by name.
func (t *Table) Chains() []*Chain {
	cs := make([]*Chain, 0, len(t.chains))
	for _, h := range tableHooks[t.ID] {
		cs = append(cs, t.chains[h.String()])
	}
	for _, n := range slices.Sorted(maps.Keys(t.chains)) {
		if c := t.chains[n]; !c.Builtin {
			cs = append(cs, c)
		}
	}
	return cs
}

// Chain returns a chain by name, nil when there is none.
func (t *Table) Chain(name string) *Chain { return t.chains[name] }

// Chain is an ordered list of rules.
type Chain struct {
	Name    string
	Builtin bool
	Hook    netfilter.Hook // of a built-in chain
	// Policy is what happens to packets that reach the end of a built-in chain: Accept or Drop. Continue in user chains.
	Policy netfilter.Verdict
	// Counters are those the policy was set with. A new pointer marks a policy set anew, which resets the live counters.
	Counters *Counters
	Rules    []*Rule
	Pos      Position // where the chain was declared, if it was
}

// Position is a place in a text.
type Position struct {
	File *string // shared by all rules of one text; nil when unnamed
	Line int32   // from 1; 0 when unknown
}

func (p Position) file() string {
	if p.File == nil {
		return ""
	}
	return *p.File
}

func (p Position) wrap(err error) error {
	if err == nil {
		return nil
	}
	return &PositionError{File: p.file(), Line: int(p.Line), Err: err}
}

// transaction is a table under change: chains are copied when first written.
type transaction struct {
	table *Table
	owned map[*Chain]bool
	refs  map[string]int // rules that jump or go to each chain; nil when not counted since the last change
}

func (rs *Ruleset) begin(id TableID) *transaction {
	old := rs.tables[id]
	if old == nil {
		old = newTable(id)
	}
	return &transaction{
		table: &Table{ID: id, chains: maps.Clone(old.chains)},
		owned: map[*Chain]bool{},
	}
}

// write returns a chain that this transaction may change, nil when it does not exist.
func (tx *transaction) write(name string) *Chain {
	c := tx.table.chains[name]
	if c == nil || tx.owned[c] {
		return c
	}
	n := *c
	n.Rules = slices.Clip(c.Rules) // an append copies
	tx.table.chains[name] = &n
	tx.owned[&n] = true
	return &n
}

func (tx *transaction) add(name string, pos Position) *Chain {
	c := &Chain{Name: name, Pos: pos}
	tx.table.chains[name] = c
	tx.owned[c] = true
	return c
}

// flushAll empties the table as iptables-restore without --noflush does: rules and user chains go, policies stay.
func (tx *transaction) flushAll() {
	for n, c := range tx.table.chains {
		if c.Builtin {
			tx.write(n).Rules = nil
		} else {
			delete(tx.table.chains, n)
		}
	}
}

// links counts the rules that jump or go to a chain.
func (tx *transaction) links(name string) int {
	if tx.refs == nil {
		tx.refs = map[string]int{}
		for _, c := range tx.table.chains {
			for _, r := range c.Rules {
				if j, ok := r.Target.(*Jump); ok {
					tx.refs[j.Chain]++
				}
			}
		}
	}
	return tx.refs[name]
}
