package iptables

import (
	"maps"
	"slices"

	"github.com/svclab/svclab/datapath/netfilter"
)

// Exec runs one iptables command line, given as after the command's name: "-t nat -N KUBE-SERVICES". It knows -A, -I, -D, -R,
// -C, -F, -Z, -N, -X, -P, -E, and does nothing for -L and -S. Refusals are typed; see IsChainExists and its kin.
func (rs *Ruleset) Exec(args string) error {
	tokens, err := splitShell(args)
	if err != nil {
		return err
	}
	id := Filter
	for i, t := range tokens[:max(len(tokens)-1, 0)] {
		if t.text == "-t" || t.text == "--table" {
			var ok bool
			if id, ok = ParseTable(tokens[i+1].text); !ok {
				return refuse("-t", "unknown table", tokens[i+1].text)
			}
			tokens = slices.Delete(slices.Clone(tokens), i, i+2)
			break
		}
	}
	tx := rs.begin(id)
	p := &ruleParser{family: rs.Family, table: id}
	p.isChain = func(n string) bool { return tx.table.chains[n] != nil }
	if err := p.parse(tokens); err != nil {
		return err
	}
	if p.help || p.skip {
		return nil
	}
	if err := tx.apply(p, "", Position{}); err != nil {
		return err
	}
	switch p.command {
	case 'C', 'L', 'S':
		return nil
	case 'A', 'I', 'R': // nothing else can make a table that the kernel refuses
		if _, err := tx.check(rs.Family); err != nil {
			return err
		}
	}
	rs.put(tx.table)
	return nil
}

// apply does what a parsed command says to the table under change.
func (tx *transaction) apply(p *ruleParser, text string, pos Position) error {
	op := letterOptions[p.command&127]
	fail := func(err error) error { return &ChainError{op, tx.table.ID, p.chain, err} }
	var c *Chain
	if p.chain != "" && p.command != 'N' {
		if c = tx.table.chains[p.chain]; c == nil {
			return fail(ErrNoChain)
		}
		if p.command != 'C' && p.command != 'L' && p.command != 'S' {
			c = tx.write(p.chain)
		}
	}
	switch p.command {
	case 'A', 'I', 'R', 'D', 'F', 'E':
		tx.refs = nil
	}
	switch p.command {
	case 'A':
		c.Rules = append(c.Rules, p.rules(text, pos)...)
	case 'I':
		at := max(p.number, 1) - 1
		if at > len(c.Rules) {
			return fail(refuse("", "index of insertion too big", ""))
		}
		c.Rules = slices.Insert(slices.Clone(c.Rules), at, p.rules(text, pos)...)
	case 'R':
		if p.number > len(c.Rules) {
			return fail(refuse("", "index of replacement too big", ""))
		}
		rules := p.rules(text, pos)
		if len(rules) != 1 {
			return refuse("-R", "replacement rule is not one rule", "")
		}
		c.Rules = slices.Clone(c.Rules)
		c.Rules[p.number-1] = rules[0]
	case 'D':
		if p.number > 0 {
			if p.number > len(c.Rules) {
				return fail(refuse("", "index of deletion too big", ""))
			}
			c.Rules = slices.Delete(slices.Clone(c.Rules), p.number-1, p.number)
			return nil
		}
		for _, r := range p.rules(text, pos) {
			i := slices.IndexFunc(c.Rules, r.equal)
			if i < 0 {
				return fail(ErrNoRule)
			}
			c.Rules = slices.Delete(slices.Clone(c.Rules), i, i+1)
		}
	case 'C':
		for _, r := range p.rules(text, pos) {
			if !slices.ContainsFunc(c.Rules, r.equal) {
				return fail(ErrNoRule)
			}
		}
	case 'N':
		if tx.table.chains[p.chain] != nil {
			return fail(ErrChainExists)
		}
		tx.add(p.chain, pos)
	case 'F':
		for _, c := range tx.each(c) {
			c.Rules = nil
		}
	case 'Z':
		tx.zero(c, p.number)
	case 'X':
		return tx.deleteChains(c)
	case 'P':
		return tx.setPolicy(c, p)
	case 'E':
		return tx.rename(c, p.newName)
	}
	return nil
}

// each returns the chain, or every chain when it is nil, for writing.
func (tx *transaction) each(c *Chain) []*Chain {
	if c != nil {
		return []*Chain{c}
	}
	var all []*Chain
	for _, n := range slices.Sorted(maps.Keys(tx.table.chains)) {
		all = append(all, tx.write(n))
	}
	return all
}

// zero resets counters: of one rule, a chain, or the table.
func (tx *transaction) zero(c *Chain, number int) {
	for _, c := range tx.each(c) {
		c.Rules = slices.Clone(c.Rules)
		for i, r := range c.Rules {
			if number == 0 || number == i+1 {
				z := *r
				z.Counters = Counters{}
				c.Rules[i] = &z
			}
		}
		if c.Builtin && number == 0 {
			c.Counters = new(Counters)
		}
	}
}

func (tx *transaction) deleteChains(c *Chain) error {
	chains := []*Chain{c}
	if c == nil {
		chains = nil
		for _, n := range slices.Sorted(maps.Keys(tx.table.chains)) {
			if c := tx.table.chains[n]; !c.Builtin {
				chains = append(chains, c)
			}
		}
	}
	for _, c := range chains {
		fail := func(err error) error { return &ChainError{"-X", tx.table.ID, c.Name, err} }
		switch {
		case c.Builtin:
			return fail(refuse("", "built-in chains cannot be deleted", c.Name))
		case len(c.Rules) > 0:
			return fail(ErrChainNotEmpty)
		case tx.links(c.Name) > 0:
			return fail(ErrTooManyLinks)
		}
		delete(tx.table.chains, c.Name)
	}
	return nil
}

func (tx *transaction) setPolicy(c *Chain, p *ruleParser) error {
	fail := func(reason string) error {
		return &ChainError{"-P", tx.table.ID, c.Name, refuse("", reason, p.policy)}
	}
	if !c.Builtin {
		return fail("bad built-in chain name")
	}
	v, ok := parsePolicy(p.policy)
	if !ok {
		return fail("bad policy name")
	}
	if v == netfilter.Drop && tx.table.ID == NAT {
		return fail(`table "nat" is not intended for filtering, DROP is inhibited there`)
	}
	n := p.counters
	c.Policy, c.Counters = v, &n
	return nil
}

func (tx *transaction) rename(c *Chain, to string) error {
	fail := func(err error) error { return &ChainError{"-E", tx.table.ID, c.Name, err} }
	if c.Builtin {
		return fail(refuse("", "built-in chains cannot be renamed", c.Name))
	}
	if tx.table.chains[to] != nil {
		return fail(ErrChainExists)
	}
	old := c.Name
	delete(tx.table.chains, old)
	c.Name = to
	tx.table.chains[to] = c
	for n, other := range tx.table.chains {
		for i, r := range other.Rules {
			if j, ok := r.Target.(*Jump); ok && j.Chain == old {
				renamed := *r
				renamed.Target = &Jump{Chain: to, Goto: j.Goto}
				renamed.Text = ""
				w := tx.write(n)
				w.Rules = slices.Clone(w.Rules)
				w.Rules[i] = &renamed
			}
		}
	}
	return nil
}
