package nftables

import "slices"

// count adds a rule's references to the users of what it refers to, or takes them away.
func (t *Table) count(r *Rule, n int) {
	for _, s := range r.Statements {
		refer(s, func(k Kind, name string) {
			switch k {
			case KindChain:
				use(t.chainUse, name, n)
			case KindSet:
				use(t.setUse, name, n)
			case KindCounter:
				use(t.countUse, name, n)
			}
		})
	}
}

func use(m map[string]int, name string, n int) {
	if m[name] += n; m[name] == 0 {
		delete(m, name)
	}
}

// refer names the chains, sets and counters that a statement refers to.
func refer(s Statement, f func(Kind, string)) {
	switch s := s.(type) {
	case Verdict:
		if s.Chain != "" {
			f(KindChain, s.Chain)
		}
	case VerdictMap:
		referExpr(s.Key, f)
		referExpr(s.Map, f)
	case Match:
		referExpr(s.Left, f)
		referExpr(s.Right, f)
	case Assign:
		referExpr(s.Value, f)
	case NAT:
		referExpr(s.To, f)
	case SetUpdate:
		f(KindSet, s.Set)
	case CounterStatement:
		if s.Name != "" {
			f(KindCounter, s.Name)
		}
	}
}

func referExpr(e Expr, f func(Kind, string)) {
	switch e := e.(type) {
	case SetRef:
		f(KindSet, e.Name)
	case SetLiteral:
		for i := range e.Elements {
			if c := e.Elements[i].Verdict.Chain; c != "" {
				f(KindChain, c)
			}
		}
	case MapLookup:
		referExpr(e.Key, f)
		referExpr(e.Map, f)
	case Concat:
		for _, p := range e.Parts {
			referExpr(p, f)
		}
	}
}

// refers checks that everything the rule leads to is there.
func (t *Table) refers(r *Rule) error {
	var err error
	for _, s := range r.Statements {
		refer(s, func(k Kind, name string) {
			missing := k == KindChain && t.chains[name] == nil || k == KindSet && t.sets[name] == nil || k == KindCounter && t.counters[name] == nil
			if missing && err == nil {
				err = &NotFoundError{string(k), name}
			}
			if k == KindChain && !missing && t.chains[name].Base() && err == nil {
				err = &SyntaxError{Text: name, Want: "a chain without a hook"}
			}
		})
		if err == nil {
			err = t.fits(s)
		}
	}
	return err
}

// fits checks that keys have the types of the named sets they are looked up in.
func (t *Table) fits(s Statement) error {
	check := func(e Expr, key []DataType, verdicts bool) error {
		ref, ok := e.(SetRef)
		if !ok {
			return nil
		}
		set := t.sets[ref.Name]
		if !slices.Equal(set.Key, key) {
			return &SyntaxError{Text: "@" + ref.Name, Want: "a set of type " + types(key) + ": its type is " + types(set.Key)}
		}
		if verdicts && (len(set.Data) != 1 || set.Data[0] != TypeVerdict) {
			return &SyntaxError{Text: "@" + ref.Name, Want: "a verdict map"}
		}
		return nil
	}
	switch s := s.(type) {
	case Match:
		return check(s.Right, s.Left.Types(), false)
	case VerdictMap:
		return check(s.Map, s.Key.Types(), true)
	case SetUpdate:
		return check(SetRef{Name: s.Set}, s.Key.Types(), false)
	}
	return nil
}
