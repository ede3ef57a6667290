package nftables

// maxDepth is how many jumps may follow each other from a hook on: one less than NFT_JUMP_STACK_SIZE.
const maxDepth = 15

// validate walks the chains that hooks lead to, as nft_chain_validate does when a transaction is committed. Chains that no hook
// leads to may form circles.
func (t *Table) validate() error {
	w := walk{t: t, depth: map[string]int{}}
	for _, c := range t.Chains() {
		if !c.Base() {
			continue
		}
		d, err := w.visit(c)
		if err != nil {
			return err
		}
		if d > maxDepth {
			return &LoopError{Chain: c.Name}
		}
	}
	return nil
}

type walk struct {
	t     *Table
	depth map[string]int // of the chains below; -1 while a chain is being visited
	level int
}

// visit says how many chains deep a walk through the chain can go.
func (w *walk) visit(c *Chain) (int, error) {
	if d, ok := w.depth[c.Name]; ok {
		if d < 0 {
			return 0, &LoopError{Chain: c.Name, Circle: true}
		}
		return d, nil
	}
	// Deeper than this is too deep whatever follows; the circle, if there is one, closes within the chains on the way.
	if w.level++; w.level > 4*maxDepth {
		return 0, &LoopError{Chain: c.Name}
	}
	defer func() { w.level-- }()
	w.depth[c.Name] = -1
	deepest := 0
	for _, r := range c.Rules {
		for _, s := range r.Statements {
			var err error
			refer(s, func(k Kind, name string) {
				if err != nil {
					return
				}
				switch k {
				case KindChain:
					err = w.into(name, &deepest)
				case KindSet:
					if set := w.t.sets[name]; set != nil && w.verdicts(s, name) {
						for _, e := range set.elements {
							if e.Verdict.Chain != "" && err == nil {
								err = w.into(e.Verdict.Chain, &deepest)
							}
						}
					}
				}
			})
			if err != nil {
				return 0, err
			}
		}
	}
	w.depth[c.Name] = deepest
	return deepest, nil
}

// verdicts reports whether the statement carries out the verdicts of the map.
func (w *walk) verdicts(s Statement, name string) bool {
	m, ok := s.(VerdictMap)
	if !ok {
		return false
	}
	ref, ok := m.Map.(SetRef)
	return ok && ref.Name == name
}

func (w *walk) into(name string, deepest *int) error {
	c := w.t.chains[name]
	if c == nil {
		return nil
	}
	d, err := w.visit(c)
	*deepest = max(*deepest, d+1)
	return err
}
