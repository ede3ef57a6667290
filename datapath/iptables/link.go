package iptables

import (
	"encoding/binary"
	"net/netip"

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

// linker links one table.
type linker struct {
	t      *linkedTable
	env    LinkEnv
	before *linkedTable
	ifaces map[Interface]int32

	keep map[*Rule]int32 // rules of the chain's predecessor, by where they are in its table
}

func (k *linker) chain(i int32) error {
	c := &k.t.chains[i]
	k.keep = nil
	if k.before != nil {
		if j, ok := k.before.byName[c.src.Name]; ok {
			was := k.before.chains[j]
			k.keep = make(map[*Rule]int32, was.last-was.first)
			for n := was.first; n < was.last; n++ {
				k.keep[k.before.refs[n]] = n
			}
			if c.src.Builtin && was.src.Counters == c.src.Counters {
				k.t.pcount[c.src.Hook] = k.before.pcount[c.src.Hook]
			}
		}
	}
	for _, r := range c.src.Rules {
		if err := k.rule(i, r); err != nil {
			return r.Pos.wrap(&RuleError{k.t.id, c.src.Name, r.Save(c.src.Name), err})
		}
	}
	k.t.rules = append(k.t.rules, linkedRule{kind: kindEnd, chain: i})
	k.t.refs = append(k.t.refs, nil)
	return nil
}

func (k *linker) rule(chain int32, r *Rule) error {
	t := k.t
	n := int32(len(t.rules))
	was := int32(-1)
	t.count[n] = r.Counters
	if j, ok := k.keep[r]; ok {
		was = j
		t.count[n] = k.before.count[j]
	}
	t.rules = append(t.rules, linkedRule{chain: chain, proto: r.Proto, in: -1, out: -1, evals: int32(len(t.evals))})
	t.refs = append(t.refs, r)
	e := &t.rules[n]
	k.header(e, r)
	for i, m := range r.Matches {
		ev, err := k.match(m, r, was, i)
		if err != nil {
			return err
		}
		if ev != nil {
			t.evals = append(t.evals, ev)
			e.flags |= hasMatches
			e.evalsN++
		}
		if u, ok := m.(interface{ unmodelled() string }); ok {
			if what := u.unmodelled(); what != "" {
				k.stop(e, r, "match "+what)
				return nil
			}
		}
	}
	return k.target(e, r)
}

// stop makes a rule that ends the walk when its conditions so far hold.
func (k *linker) stop(e *linkedRule, r *Rule, what string) {
	e.kind = kindUnmodelled
	e.to = int32(len(k.t.actions))
	c := k.t.chains[e.chain].src.Name
	k.t.actions = append(k.t.actions, &stopAction{&UnsupportedError{
		File: r.Pos.file(), Line: int(r.Pos.Line), Construct: what, Text: r.Save(c),
	}})
}

// stopAction says what is not modelled.
type stopAction struct{ err error }

func (s *stopAction) act(x *walker, _ *packet.Packet) netfilter.Verdict {
	if x.w.Unmodelled == nil {
		x.w.Unmodelled = s.err
	}
	x.note = "stop: " + s.err.Error()
	return netfilter.Drop
}

func (k *linker) header(e *linkedRule, r *Rule) {
	if !r.Src.any() {
		e.flags |= hasSrc
		e.src, e.smask = halves(r.Src.Addr), halves(r.Src.Mask)
		if r.Src.Invert {
			e.flags |= notSrc
		}
	}
	if !r.Dst.any() {
		e.flags |= hasDst
		e.dst, e.dmask = halves(r.Dst.Addr), halves(r.Dst.Mask)
		if r.Dst.Invert {
			e.flags |= notDst
		}
	}
	if r.Proto != 0 {
		e.flags |= hasProto
		if r.NotProto {
			e.flags |= notProto
		}
	}
	if !r.In.any() {
		e.flags |= hasIfaces
		e.in = k.iface(r.In)
	}
	if !r.Out.any() {
		e.flags |= hasIfaces
		e.out = k.iface(r.Out)
	}
	if r.Fragment {
		e.flags |= wantFrag
	}
	if r.NotFrag {
		e.flags |= wantNoFrag
	}
}

func (k *linker) iface(i Interface) int32 {
	n, ok := k.ifaces[i]
	if !ok {
		n = int32(len(k.t.ifaces))
		k.t.ifaces = append(k.t.ifaces, i)
		k.ifaces[i] = n
	}
	return n
}

// halves spreads an address over two words; IPv4 lies in the low one.
func halves(a netip.Addr) [2]uint64 {
	if a.Is4() {
		b := a.As4()
		return [2]uint64{0, uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return [2]uint64{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// match returns the evaluator of a match, nil where it is always true.
func (k *linker) match(m Match, r *Rule, was int32, i int) (evaluator, error) {
	if n, ok := m.(interface{ needsConntrack() bool }); ok && n.needsConntrack() {
		k.t.needs = true
	}
	switch m := m.(type) {
	case *Comment:
		return nil, nil
	case *Recent:
		l := k.env.Recent.acquire(m)
		k.t.recents = append(k.t.recents, l)
		return &boundRecent{m, l, uint64(k.env.HZ)}, nil
	case *HashLimit:
		h := k.env.Limits.acquire(m, k.t.family)
		k.t.limits = append(k.t.limits, h)
		return &boundHashLimit{m, h, uint64(k.env.HZ)}, nil
	case *Set:
		if err := k.sets(m.setNames()); err != nil {
			return nil, err
		}
	}
	if s, ok := m.(stateful); ok {
		st := k.oldState(was, r, i)
		if st == nil {
			st = &matchState{value: s.state()}
		}
		k.t.state = append(k.t.state, st)
		ev, err := s.bind(st)
		if b, ok := ev.(interface{ setHZ(hz int) }); ok {
			b.setHZ(k.env.HZ)
		}
		return ev, err
	}
	if ev, ok := m.(evaluator); ok {
		return ev, nil
	}
	return alwaysTrue{}, nil
}

// oldState is the state that a surviving rule's match had, where the back end keeps it.
func (k *linker) oldState(was int32, r *Rule, i int) *matchState {
	if was < 0 || !k.env.NFT {
		return nil
	}
	old := &k.before.rules[was]
	n := old.evals
	for _, m := range r.Matches[:i] {
		if _, ok := m.(*Comment); !ok {
			n++
		}
	}
	if b, ok := k.before.evals[n].(interface{ matchState() *matchState }); ok {
		return b.matchState()
	}
	return nil
}

type alwaysTrue struct{}

func (alwaysTrue) match(*walker, *packet.Packet) bool { return true }

func (k *linker) sets(names []string) error {
	for _, n := range names {
		if k.env.HasSet != nil && !k.env.HasSet(n) {
			return &SetError{Set: n}
		}
	}
	return nil
}

func (k *linker) target(e *linkedRule, r *Rule) error {
	switch g := r.Target.(type) {
	case nil:
		e.kind = kindCount
	case Standard:
		switch g {
		case VerdictAccept:
			e.kind = kindAccept
		case VerdictDrop:
			e.kind = kindDrop
		case VerdictReturn:
			e.kind = kindReturn
		default:
			k.stop(e, r, "target "+g.Name())
		}
	case *Jump:
		to, ok := k.t.byName[g.Chain]
		if !ok {
			return &ChainError{"-j", k.t.id, g.Chain, ErrNoChain}
		}
		e.kind, e.to = kindJump, k.t.chains[to].first
		if g.Goto {
			e.kind = kindGoto
		}
	default:
		if n, ok := g.(interface{ needsConntrack() bool }); ok && n.needsConntrack() {
			k.t.needs = true
		}
		if n, ok := g.(interface{ setNames() []string }); ok {
			if err := k.sets(n.setNames()); err != nil {
				return err
			}
		}
		if u, ok := g.(interface{ unmodelled() string }); ok {
			if what := u.unmodelled(); what != "" {
				k.stop(e, r, "target "+what)
				return nil
			}
		}
		e.kind, e.to = kindAct, int32(len(k.t.actions))
		k.t.actions = append(k.t.actions, g.(action))
	}
	return nil
}
