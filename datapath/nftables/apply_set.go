package nftables

import "slices"

func (tx *transaction) doSet(t *Table, o *owned, c *Command) error {
	have := t.sets[c.Name]
	switch c.Verb {
	case Add, Create:
		if have == nil {
			fresh := *c.Set
			fresh.elements = map[string]*Element{}
			t.sets[c.Name], o.sets[c.Name] = &fresh, true
			return nil
		}
		if c.Verb == Create || !have.same(c.Set) {
			return &ExistsError{c.Set.kind(), c.Name}
		}
		s, _ := t.set(o, c.Name, KindElement)
		// Linux 6.5 and later take changed times and a changed size from a repeated add (nf_tables_updset); the comment stays.
		s.Timeout, s.GCInterval = c.Set.Timeout, c.Set.GCInterval
		if c.Set.Size > 0 {
			s.Size = c.Set.Size
		}
		return nil
	}
	s, err := t.set(o, c.Name, c.Kind)
	if err != nil {
		return err
	}
	if c.Verb == Flush {
		t.flushSet(s)
		return nil
	}
	if t.setUse[c.Name] > 0 {
		return &BusyError{s.kind(), c.Name}
	}
	t.flushSet(s)
	delete(t.sets, c.Name)
	delete(o.sets, c.Name)
	return nil
}

// same reports whether the set may be declared again like this.
func (s *Set) same(d *Set) bool {
	return slices.Equal(s.Key, d.Key) && slices.Equal(s.Data, d.Data) && slices.Equal(sorted(s.Flags), sorted(d.Flags))
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

func (t *Table) flushSet(s *Set) {
	for _, e := range s.elements {
		t.countElement(e, -1)
	}
	s.elements = map[string]*Element{}
}

func (t *Table) countElement(e *Element, n int) {
	if e.Verdict.Chain != "" {
		use(t.chainUse, e.Verdict.Chain, n)
	}
}

func (tx *transaction) doElements(t *Table, o *owned, c *Command) error {
	s, err := t.set(o, c.Name, KindElement)
	if err != nil {
		if c.Verb == Destroy && IsNotFound(err) {
			return nil
		}
		return err
	}
	for i := range c.Elements {
		raw := &c.Elements[i]
		if err := tx.element(t, s, c.Verb, raw); err != nil {
			return &PositionError{File: c.File, Line: raw.Line, Err: err}
		}
	}
	if s.has("interval") && (c.Verb == Add || c.Verb == Create) {
		return s.merge()
	}
	return nil
}

func (tx *transaction) element(t *Table, s *Set, v Verb, raw *RawElement) error {
	e, err := raw.resolve(s.Key, s.Data)
	if err != nil {
		return err
	}
	key := e.KeyText()
	have := s.elements[key]
	switch v {
	case Delete, Destroy:
		if have == nil {
			if v == Destroy {
				return nil
			}
			return &NotFoundError{"element", key}
		}
		t.countElement(have, -1)
		delete(s.elements, key)
		return nil
	}
	if s.IsMap() && !raw.HasValue {
		return &SyntaxError{Text: key, Want: "a value: " + s.Name + " is a map"}
	}
	if !s.has("interval") {
		for _, k := range e.Key {
			if !k.Single() {
				return &SyntaxError{Text: key, Want: "a single value: the set has no flag interval"}
			}
		}
	}
	if !tx.loose && e.Verdict.Chain != "" {
		if t.chains[e.Verdict.Chain] == nil {
			return &NotFoundError{"chain", e.Verdict.Chain}
		}
		if t.chains[e.Verdict.Chain].Base() {
			return &SyntaxError{Text: e.Verdict.Chain, Want: "a chain without a hook"}
		}
	}
	if (e.Timeout > 0 || e.Expires > 0) && !s.has("timeout") {
		return &SyntaxError{Text: key, Want: "no timeout: the set has no flag timeout"}
	}
	if have != nil {
		if v == Create || have.value(true) != e.value(true) {
			return &ExistsError{"element", key}
		}
		return nil
	}
	if s.Size > 0 && uint64(len(s.elements)) >= s.Size {
		return &FullError{Name: s.Name}
	}
	s.elements[key] = &e
	t.countElement(&e, 1)
	return nil
}

// merge joins elements that touch where the set says auto-merge, and refuses those that overlap where it does not.
func (s *Set) merge() error {
	if len(s.Key) != 1 {
		return nil
	}
	list := make([]Element, 0, len(s.elements))
	for _, e := range s.elements {
		list = append(list, *e)
	}
	if s.AutoMerge && !s.IsMap() {
		s.elements = make(map[string]*Element, len(list))
		for _, e := range normalised(list, true) {
			s.elements[e.KeyText()] = &e
		}
		return nil
	}
	slices.SortFunc(list, compareElements)
	for i := 1; i < len(list); i++ {
		if compareValues(list[i].Key[0].Lo, list[i-1].Key[0].Hi) <= 0 {
			return &ExistsError{"interval", list[i].KeyText()}
		}
	}
	return nil
}
