package iptables

import (
	"errors"
	"maps"
	"slices"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// hookMask is a set of hooks.
type hookMask uint8

func hooks(hs ...netfilter.Hook) hookMask {
	var m hookMask
	for _, h := range hs {
		m |= 1 << h
	}
	return m
}

// allHooks is the absence of a restriction.
const allHooks = hookMask(1<<netfilter.NumHooks - 1)

// requirement is what the kernel wants of a rule that uses an extension (struct xt_match, struct xt_target).
type requirement struct {
	tables uint8           // bit set of TableID; 0: any
	hooks  hookMask        // hooks it may be reached from; 0: any
	proto  packet.Protocol // -p must be exactly this; 0: any
}

// requirer is a match or target with requirements on its rule.
type requirer interface {
	require() requirement
}

// checker is a match or target with further conditions on its rule, checked when the table is committed.
type checker interface {
	checkEntry(r *Rule) error
}

func inTable(ts ...TableID) uint8 {
	var m uint8
	for _, t := range ts {
		m |= 1 << t
	}
	return m
}

// check does what the kernel does when a table is handed to it: it looks for loops, finds from which hooks each chain can be
// reached, and lets each match and target refuse its rule (ip_tables.c, translate_table). One difference: loops
// are refused even where no hook leads to them.
func (tx *transaction) check(f packet.Family) (Position, error) {
	reach, pos, err := tx.reach()
	if err != nil {
		return pos, err
	}
	var first Position
	var firstErr error
	for n, c := range tx.table.chains {
		for _, r := range c.Rules {
			var err error
			if tx.owned[c] {
				err = checkRule(r, tx.table.ID, reach[n])
			} else { // it may have become reachable from a new hook
				err = checkHooks(r, reach[n])
			}
			if err != nil {
				if firstErr == nil || r.Pos.Line < first.Line {
					first, firstErr = r.Pos, &RuleError{tx.table.ID, n, r.Save(n), err}
				}
				break
			}
		}
	}
	if firstErr != nil {
		return first, firstErr
	}
	return Position{}, nil
}

// reach returns for each chain the hooks from which it is reached.
func (tx *transaction) reach() (map[string]hookMask, Position, error) {
	reach := make(map[string]hookMask, len(tx.table.chains))
	state := make(map[string]uint8, len(tx.table.chains)) // 1: on the path, 2: done
	var order []*Chain                                    // callees before callers
	var stack []frame
	for _, start := range slices.Sorted(maps.Keys(tx.table.chains)) {
		if state[start] != 0 {
			continue
		}
		state[start] = 1
		stack = append(stack[:0], frame{chain: tx.table.chains[start]})
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if top.next == len(top.chain.Rules) {
				state[top.chain.Name] = 2
				order = append(order, top.chain)
				stack = stack[:len(stack)-1]
				continue
			}
			r := top.chain.Rules[top.next]
			top.next++
			j, ok := r.Target.(*Jump)
			if !ok {
				continue
			}
			to := tx.table.chains[j.Chain]
			switch {
			case to == nil:
				return nil, r.Pos, &ChainError{"-j", tx.table.ID, j.Chain, ErrNoChain}
			case state[j.Chain] == 1:
				return nil, r.Pos, &LoopError{tx.table.ID, cycle(stack, j.Chain)}
			case state[j.Chain] == 0:
				state[j.Chain] = 1
				stack = append(stack, frame{chain: to})
			}
		}
	}
	for _, c := range slices.Backward(order) {
		if c.Builtin {
			reach[c.Name] |= hooks(c.Hook)
		}
		for _, r := range c.Rules {
			if j, ok := r.Target.(*Jump); ok {
				reach[j.Chain] |= reach[c.Name]
			}
		}
	}
	return reach, Position{}, nil
}

type frame struct {
	chain *Chain
	next  int
}

func cycle(stack []frame, to string) []string {
	var names []string
	for _, f := range stack {
		if len(names) > 0 || f.chain.Name == to {
			names = append(names, f.chain.Name)
		}
	}
	return append(names, to)
}

func checkRule(r *Rule, t TableID, reached hookMask) error {
	for _, m := range r.Matches {
		if err := checkPart("match ", m, r, t, reached); err != nil {
			return err
		}
	}
	if r.Target != nil {
		return checkPart("target ", r.Target, r, t, reached)
	}
	return nil
}

func checkPart(kind string, part interface{ Name() string }, r *Rule, t TableID, reached hookMask) error {
	if q, ok := part.(requirer); ok {
		q := q.require()
		switch {
		case q.tables != 0 && q.tables&(1<<t) == 0:
			return errors.New(kind + part.Name() + " is not valid in table " + t.String())
		case q.hooks != 0 && reached&^q.hooks != 0:
			return errors.New(kind + part.Name() + " is not valid in chains reached from " + (reached &^ q.hooks).String())
		case q.proto != 0 && (r.Proto != q.proto || r.NotProto):
			return errors.New(kind + part.Name() + " requires -p " + protocolName(q.proto))
		}
	}
	if c, ok := part.(checker); ok {
		return c.checkEntry(r)
	}
	return nil
}

func checkHooks(r *Rule, reached hookMask) error {
	for _, m := range r.Matches {
		if q, ok := m.(requirer); ok && q.require().hooks != 0 && reached&^q.require().hooks != 0 {
			return errors.New("match " + m.Name() + " is not valid in chains reached from " +
				(reached &^ q.require().hooks).String())
		}
	}
	if q, ok := r.Target.(requirer); ok && q.require().hooks != 0 && reached&^q.require().hooks != 0 {
		return errors.New("target " + r.Target.Name() + " is not valid in chains reached from " +
			(reached &^ q.require().hooks).String())
	}
	return nil
}

func (m hookMask) String() string {
	s := ""
	for h := netfilter.Hook(0); h < netfilter.NumHooks; h++ {
		if m&(1<<h) != 0 {
			if s != "" {
				s += ", "
			}
			s += h.String()
		}
	}
	return s
}
