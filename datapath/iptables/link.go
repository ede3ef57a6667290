package iptables

import (
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// LinkEnv carries what the node knows and rules need.
type LinkEnv struct {
	HZ     int                    // timer ticks a second, of which "recent" and "limit" count; 0: 250
	HasSet func(name string) bool // whether an ipset exists; nil: every set does
	Recent *RecentStore           // the node's "recent" lists; nil: a store of its own
	Limits *HashLimitStore        // the node's "hashlimit" tables; nil: a store of its own
	NFT    bool                   // the nft back end: a change leaves the state of other rules of its table alone
}

// Linked is a Ruleset made ready to walk: each table a flat slice of rules, with live counters and the state of stateful matches
// beside it. One goroutine uses it at a time.
type Linked struct {
	Family packet.Family
	env    LinkEnv
	tables [NumTables]*linkedTable
	order  []TableID
	needs  bool
	x      walker
}

// linkedTable is one table. Every chain ends with a sentinel rule.
type linkedTable struct {
	id      TableID
	family  packet.Family
	src     *Table
	chains  []linkedChain
	byName  map[string]int32
	rules   []linkedRule
	refs    []*Rule // of rules, nil for sentinels
	evals   []evaluator
	actions []action
	ifaces  []Interface
	count   []Counters // of rules
	state   []*matchState
	entry   [netfilter.NumHooks]int32 // index of a built-in chain's first rule, -1 without one
	policy  [netfilter.NumHooks]netfilter.Verdict
	pcount  [netfilter.NumHooks]Counters
	needs   bool

	recents []*recentList
	limits  []*hashTable
}

type linkedChain struct {
	src         *Chain
	first, last int32 // rules first..last-1; last is the sentinel
}

// kind is what a rule does when it applies.
type kind uint8

const (
	kindCount kind = iota // no target
	kindAccept
	kindDrop
	kindReturn
	kindJump
	kindGoto
	kindAct        // an extension
	kindUnmodelled // stops the walk
	kindEnd        // sentinel
)

// What of the header a rule looks at.
const (
	hasSrc = 1 << iota
	hasDst
	notSrc
	notDst
	hasProto
	notProto
	hasIfaces
	wantFrag
	wantNoFrag
	hasMatches
)

// linkedRule is one rule as the walk reads it.
type linkedRule struct {
	src, dst      [2]uint64 // addresses, high half first; IPv4 in the low half
	smask, dmask  [2]uint64
	flags         uint16
	proto         packet.Protocol
	kind          kind
	chain         int32 // index of its chain
	to            int32 // first rule of a jump's chain, or index of its action
	in, out       int32 // index of interface conditions, -1 for none
	evals, evalsN int32 // its matches
}

// evaluator decides one match of a linked rule.
type evaluator interface {
	match(x *walker, p *packet.Packet) bool
}

// action does what a target does; Continue goes on with the next rule.
type action interface {
	act(x *walker, p *packet.Packet) netfilter.Verdict
}

// matchState is the state of one stateful match of one rule.
type matchState struct {
	value uint64
	stamp int64
	more  any // state that is no number
}

// stateful is a match with state of its own, which a legacy table replacement starts afresh.
type stateful interface {
	state() uint64 // the initial value
	bind(s *matchState) (evaluator, error)
}

// Link makes a Ruleset ready to walk. Restore and Exec have checked the rules; what is left to refuse is what the node lacks.
func Link(rs *Ruleset, env LinkEnv) (*Linked, error) {
	if env.HZ == 0 {
		env.HZ = defaultHZ
	}
	if env.Recent == nil {
		env.Recent = NewRecentStore()
	}
	if env.Limits == nil {
		env.Limits = NewHashLimitStore()
	}
	return link(nil, rs, env, nil)
}

// defaultHZ is CONFIG_HZ of common distributions.
const defaultHZ = 250

// Relink links a changed Ruleset and takes over from its predecessor what the kernel keeps. Tables that were not replaced go on as they
// are. In a replaced one the counters of surviving rules are kept; the state of stateful matches (nth, limit) starts
// afresh with the legacy back end, which replaces whole tables, and runs on with nft. Lists of -m recent survive if a rule of the old or
// the new table names them. Tables named as changed count as replaced even when they are the same. The old Linked must not be used
// afterwards, unless there was an error: then it is untouched.
func Relink(old *Linked, rs *Ruleset, changed ...TableID) (*Linked, error) {
	return link(old, rs, old.env, changed)
}

func link(old *Linked, rs *Ruleset, env LinkEnv, changed []TableID) (*Linked, error) {
	l := &Linked{Family: rs.Family, env: env, order: rs.order}
	var made []*linkedTable
	for _, id := range rs.order {
		if old != nil && old.tables[id] != nil && old.tables[id].src == rs.tables[id] && !contains(changed, id) {
			l.tables[id] = old.tables[id]
			continue
		}
		var before *linkedTable
		if old != nil {
			before = old.tables[id]
		}
		t, err := linkTable(rs.Family, rs.tables[id], env, before)
		if t != nil {
			made = append(made, t)
		}
		if err != nil {
			for _, t := range made {
				t.release(env)
			}
			return nil, err
		}
		l.tables[id] = t
	}
	for id := range l.tables {
		if old != nil && old.tables[id] != nil && old.tables[id] != l.tables[id] {
			old.tables[id].release(env)
		}
		if t := l.tables[id]; t != nil {
			l.needs = l.needs || t.needs
		}
	}
	l.x.l = l
	return l, nil
}

func contains(ids []TableID, id TableID) bool {
	for _, x := range ids {
		if x == id {
			return true
		}
	}
	return false
}

func (t *linkedTable) release(env LinkEnv) {
	for _, r := range t.recents {
		env.Recent.release(r)
	}
	for _, h := range t.limits {
		env.Limits.release(h)
	}
	t.recents, t.limits = nil, nil
}

// NeedsConntrack reports whether a rule needs connection tracking: without one nothing is tracked.
func (l *Linked) NeedsConntrack() bool { return l != nil && l.needs }

// HasHook reports whether a table exists and has a built-in chain at a hook.
func (l *Linked) HasHook(t TableID, h netfilter.Hook) bool {
	return l != nil && l.tables[t] != nil && l.tables[t].entry[h] >= 0
}

func linkTable(f packet.Family, src *Table, env LinkEnv, before *linkedTable) (*linkedTable, error) {
	chains := src.Chains()
	n, m := len(chains), 0
	for _, c := range chains {
		n += len(c.Rules)
		for _, r := range c.Rules {
			m += len(r.Matches)
		}
	}
	t := &linkedTable{
		id: src.ID, family: f, src: src, chains: make([]linkedChain, 0, len(chains)), byName: make(map[string]int32, len(chains)),
		rules: make([]linkedRule, 0, n), refs: make([]*Rule, 0, n), count: make([]Counters, n), evals: make([]evaluator, 0, m),
	}
	for h := range t.entry {
		t.entry[h] = -1
	}
	at := int32(0)
	for i, c := range chains {
		t.chains = append(t.chains, linkedChain{c, at, at + int32(len(c.Rules))})
		t.byName[c.Name] = int32(i)
		if c.Builtin {
			t.entry[c.Hook], t.policy[c.Hook], t.pcount[c.Hook] = at, c.Policy, *c.Counters
		}
		at += int32(len(c.Rules)) + 1
	}
	k := linker{t: t, env: env, before: before, ifaces: map[Interface]int32{}}
	for i := range t.chains {
		if err := k.chain(int32(i)); err != nil {
			return t, err
		}
	}
	return t, nil
}
