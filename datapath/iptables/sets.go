package iptables

import (
	"maps"
	"slices"
)

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

// SetNames lists the ipsets that rules name, sorted.
func (rs *Ruleset) SetNames() []string {
	seen := map[string]bool{}
	for _, t := range rs.Tables() {
		for _, c := range t.chains {
			for _, r := range c.Rules {
				for _, m := range r.Matches {
					if s, ok := m.(*Set); ok {
						seen[s.Set] = true
					}
				}
				if s, ok := r.Target.(*ChangeSet); ok {
					for _, n := range s.names {
						seen[n] = true
					}
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}
