package iptables

// UsesSet reports whether a rule names an ipset, which then cannot be destroyed.
func (rs *Ruleset) UsesSet(name string) bool {
	for _, t := range rs.Tables() {
		for _, c := range t.chains {
			for _, r := range c.Rules {
				if r.usesSet(name) {
					return true
				}
			}
		}
	}
	return false
}

func (r *Rule) usesSet(name string) bool {
	for _, m := range r.Matches {
		if s, ok := m.(*Set); ok && s.Set == name {
			return true
		}
	}
	t, ok := r.Target.(*ChangeSet)
	if !ok {
		return false
	}
	for _, n := range t.names {
		if n == name {
			return true
		}
	}
	return false
}
