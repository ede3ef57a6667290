package nftables

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Ruleset is the tables of a node, of all families. The zero Ruleset is empty and ready.
type Ruleset struct{ tables map[tableKey]*Table }

type tableKey struct {
	family Family
	name   string
}

// Table holds chains, sets, maps and counters, each kind but sets and maps with names of its own.
type Table struct {
	Family  Family
	Name    string
	Comment string
	Flags   []string
	Handle  uint64 // as nft -a listed it; 0 if it did not

	chains   map[string]*Chain
	sets     map[string]*Set
	counters map[string]*Counter

	chainUse map[string]int // verdicts that lead to a chain
	setUse   map[string]int // rules that refer to a set or map
	countUse map[string]int // rules that refer to a counter
}

// Chain is a list of rules; a base chain, one with a Hook, is where packets enter.
type Chain struct {
	Name     string
	Type     ChainType // of a base chain
	Hook     Hook
	Device   string
	Priority int
	Policy   VerdictKind // of a base chain: Accept or Drop
	Comment  string
	Handle   uint64
	Rules    []*Rule
}

// Base reports whether the chain is attached to a hook.
func (c *Chain) Base() bool { return c.Hook != "" }

// Rule is a list of statements.
type Rule struct {
	Statements []Statement
	Comment    string
	Text       string // statements as a command spelled them; "" if read from a listing
	Handle     uint64
	Line       int // of the text it was read from
}

// Set is a set, or with Data a map.
type Set struct {
	Name       string
	Key        []DataType
	Data       []DataType // of a map's values: one verdict, or values
	KeyOf      Expr       // where the declaration says typeof in place of type
	DataOf     Expr
	Flags      []string // constant, dynamic, interval, timeout
	Timeout    time.Duration
	GCInterval time.Duration
	Size       uint64
	Policy     string
	AutoMerge  bool
	Comment    string
	Handle     uint64

	elements map[string]*Element // by the text of the key
}

// IsMap reports whether keys lead to values.
func (s *Set) IsMap() bool { return len(s.Data) > 0 }

func (s *Set) kind() string {
	if s.IsMap() {
		return "map"
	}
	return "set"
}

func (s *Set) has(flag string) bool { return slices.Contains(s.Flags, flag) }

// Element is an element of a set or map, named or literal.
type Element struct {
	Key     []Interval
	Verdict Verdict // of a verdict map
	Data    []Value // of other maps
	Comment string
	Timeout time.Duration // 0 for the set's own
	Expires time.Duration // as listed
}

func (e *Element) isMap() bool { return e.Verdict.Kind != "" || len(e.Data) > 0 }

// Counter is a counter of the table.
type Counter struct {
	Name           string
	Comment        string
	Packets, Bytes uint64
	Handle         uint64
}

// Table returns a table, or nil. The caller must not change it.
func (r *Ruleset) Table(f Family, name string) *Table { return r.tables[tableKey{f, name}] }

// Tables returns the tables, sorted by family and name.
func (r *Ruleset) Tables() []*Table {
	out := slices.Collect(maps.Values(r.tables))
	slices.SortFunc(out, func(a, b *Table) int {
		return strings.Compare(string(a.Family)+" "+a.Name, string(b.Family)+" "+b.Name)
	})
	return out
}

// Clone returns a copy that changes without the original.
func (r *Ruleset) Clone() *Ruleset { return &Ruleset{tables: maps.Clone(r.tables)} }

// Chain returns a chain, or nil.
func (t *Table) Chain(name string) *Chain { return t.chains[name] }

// Chains returns the chains by name.
func (t *Table) Chains() []*Chain { return byName(t.chains) }

// Set returns a set or map, or nil.
func (t *Table) Set(name string) *Set { return t.sets[name] }

// Sets returns sets and maps by name, sets first.
func (t *Table) Sets() []*Set {
	out := byName(t.sets)
	slices.SortStableFunc(out, func(a, b *Set) int { return strings.Compare(b.kind(), a.kind()) })
	return out
}

// Counters returns the counters by name.
func (t *Table) Counters() []*Counter { return byName(t.counters) }

// Elements returns the elements, sorted by the text of their keys.
func (s *Set) Elements() []*Element { return byName(s.elements) }

// Element returns the element with a key, as Key.text spells it: `10.96.0.10 . udp . 53`; or nil.
func (s *Set) Element(key string) *Element { return s.elements[key] }

func byName[T any](m map[string]T) []T {
	names := slices.Sorted(maps.Keys(m))
	out := make([]T, 0, len(names))
	for _, n := range names {
		out = append(out, m[n])
	}
	return out
}

func newTable(f Family, name string) *Table {
	return &Table{Family: f, Name: name, chains: map[string]*Chain{}, sets: map[string]*Set{}, counters: map[string]*Counter{},
		chainUse: map[string]int{}, setUse: map[string]int{}, countUse: map[string]int{}}
}

// clone copies a table; chains and sets are shared until one of them is written.
func (t *Table) clone() *Table {
	c := *t
	c.chains, c.sets, c.counters = maps.Clone(t.chains), maps.Clone(t.sets), maps.Clone(t.counters)
	c.chainUse, c.setUse, c.countUse = maps.Clone(t.chainUse), maps.Clone(t.setUse), maps.Clone(t.countUse)
	return &c
}
