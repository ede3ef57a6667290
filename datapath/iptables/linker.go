package iptables

import (
	"encoding/binary"
	"net/netip"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// linker links one table.
type linker struct {
	t      *linkedTable
	env    LinkEnv
	before *linkedTable
	ifaces map[Interface]int32

	keep  map[*Rule]int32 // rules of the chain's predecessor, by where they are in its table
	shift int32           // where the same chain was before, less where it is now; noShift when it was changed
}

const noShift = 1<<31 - 1

func (k *linker) chain(i int32) error {
	c := &k.t.chains[i]
	k.keep, k.shift = nil, noShift
	if k.before != nil {
		if j, ok := k.before.byName[c.src.Name]; ok {
			was := k.before.chains[j]
			if was.src == c.src {
				k.shift = was.first - c.first
			} else {
				k.keep = make(map[*Rule]int32, was.last-was.first)
				for n := was.first; n < was.last; n++ {
					k.keep[k.before.refs[n]] = n
				}
			}
			// A legacy table that is replaced counts its policies from zero again, whatever changed in it (recorded with iptables 1.8.9
			// on Linux 6.18: restore, -N, -A, -D, -P), while surviving rules keep what they counted.
			if c.src.Builtin && was.src.Counters == c.src.Counters {
				k.t.pcount[c.src.Hook] = Counters{}
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
	if k.shift != noShift {
		was = n + k.shift
	} else if j, ok := k.keep[r]; ok {
		was = j
	}
	if was >= 0 {
		t.count[n] = k.before.count[was]
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
