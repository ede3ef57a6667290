package iptables

// ChainCounters are the live counters of one chain.
type ChainCounters struct {
	Policy Counters // of a built-in chain: packets that reached the policy
	Rules  []Counters
}

// Counters returns the live counters of a chain; ok is false when it does not exist.
func (l *Linked) Counters(id TableID, chain string) (c ChainCounters, ok bool) {
	t := l.tables[id]
	if t == nil {
		return c, false
	}
	i, ok := t.byName[chain]
	if !ok {
		return c, false
	}
	k := t.chains[i]
	if k.src.Builtin {
		c.Policy = t.pcount[k.src.Hook]
	}
	c.Rules = append(c.Rules, t.count[k.first:k.last]...)
	return c, true
}

// Print prints the tables with live counters, as iptables-save -c does; without counters as iptables-save, which
// still prints those of policies.
func (l *Linked) Print(counters bool) string {
	var b []byte
	for _, id := range l.order {
		b = l.tables[id].append(b, counters)
	}
	return string(b)
}

func (t *linkedTable) append(b []byte, counters bool) []byte {
	b = append(append(append(b, '*'), t.id.String()...), '\n')
	for _, c := range t.chains {
		b = append(append(append(b, ':'), c.src.Name...), ' ')
		b = append(append(b, policyName(c.src.Policy)...), ' ')
		n := Counters{}
		if c.src.Builtin {
			n = t.pcount[c.src.Hook]
		}
		b = append(n.append(b), '\n')
	}
	for _, c := range t.chains {
		for i := c.first; i < c.last; i++ {
			if counters {
				b = append(t.count[i].append(b), ' ')
			}
			b = append(t.refs[i].append(b, c.src.Name, Save), '\n')
		}
	}
	return append(b, "COMMIT\n"...)
}

// Zero resets live counters, as iptables -Z does: of one chain, or of the table for the empty name.
func (l *Linked) Zero(id TableID, chain string) {
	t := l.tables[id]
	if t == nil {
		return
	}
	for _, c := range t.chains {
		if chain != "" && c.src.Name != chain {
			continue
		}
		clear(t.count[c.first:c.last])
		if c.src.Builtin {
			t.pcount[c.src.Hook] = Counters{}
		}
	}
}

// Recent returns a list of -m recent, the address updated longest ago first; nil when no rule names it.
func (l *Linked) Recent(name string) []RecentEntry { return l.env.Recent.Entries(name, l.env.HZ) }
