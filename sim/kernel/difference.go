package kernel

import (
	"fmt"
	"strings"

	"github.com/svclab/svclab/datapath/iptables"
)

// Difference is one place at which two rule sets are not the same.
type Difference struct {
	Table, Chain  string
	Rule          int // from 1; 0 for the chain itself or its policy
	Model, Kernel string
}

func (d Difference) String() string {
	at := d.Table + " " + d.Chain
	if d.Rule > 0 {
		at += fmt.Sprintf(" rule %d", d.Rule)
	}
	return fmt.Sprintf("%s: model %q, kernel %q", at, d.Model, d.Kernel)
}

// DifferenceOptions say what is compared beside rules and policies.
type DifferenceOptions struct {
	Packets  bool // packet counters of rules
	Policies bool // packet counters of policies: nf_tables has none, so not for the nft variant
}

// Differences compares two texts of iptables-save rule by rule, in the order of tables and chains of iptables-save: what the
// model holds, and what the kernel gives back. A table without rules, own chains and a policy other than ACCEPT counts as
// absent. An error means that a text cannot be read.
func Differences(model, kernel string, o DifferenceOptions) ([]Difference, error) {
	m, err := read("model", model)
	if err != nil {
		return nil, err
	}
	k, err := read("kernel", kernel)
	if err != nil {
		return nil, err
	}
	var out []Difference
	for id := range iptables.NumTables {
		out = append(out, tableDifferences(id, m.Table(id), k.Table(id), o)...)
	}
	return out, nil
}

func read(name, text string) (*iptables.Ruleset, error) {
	d, err := iptables.ReadDump(name, []byte(text))
	if err != nil {
		return nil, err
	}
	if len(d.Rulesets) > 1 {
		return nil, fmt.Errorf("%s: two families in one text", name)
	}
	for _, rs := range d.Rulesets {
		return rs, nil
	}
	return new(iptables.Ruleset), nil
}

func tableDifferences(id iptables.TableID, m, k *iptables.Table, o DifferenceOptions) []Difference {
	mc, kc := chains(m), chains(k)
	var names []string
	seen := map[string]bool{}
	for _, t := range []*iptables.Table{m, k} {
		if t == nil {
			continue
		}
		for _, c := range t.Chains() {
			if !seen[c.Name] {
				seen[c.Name] = true
				names = append(names, c.Name)
			}
		}
	}
	var out []Difference
	for _, name := range names {
		a, b := mc[name], kc[name]
		d := Difference{Table: id.String(), Chain: name}
		switch {
		case a == nil && trivial(b), b == nil && trivial(a):
			continue
		case a == nil || b == nil:
			d.Model, d.Kernel = describe(a, o), describe(b, o)
			out = append(out, d)
			continue
		}
		if d.Model, d.Kernel = describe(a, o), describe(b, o); d.Model != d.Kernel {
			out = append(out, d)
		}
		out = append(out, ruleDifferences(id.String(), name, lines(a, o), lines(b, o))...)
	}
	return out
}

func chains(t *iptables.Table) map[string]*iptables.Chain {
	out := map[string]*iptables.Chain{}
	if t != nil {
		for _, c := range t.Chains() {
			out[c.Name] = c
		}
	}
	return out
}

// trivial chains are there whether anything was loaded or not.
func trivial(c *iptables.Chain) bool {
	return c.Builtin && len(c.Rules) == 0 && describe(c, DifferenceOptions{}) == "policy ACCEPT"
}

func describe(c *iptables.Chain, o DifferenceOptions) string {
	switch {
	case c == nil:
		return "absent"
	case !c.Builtin:
		return "chain"
	}
	s := "policy " + strings.ToUpper(c.Policy.String())
	if o.Policies {
		s += fmt.Sprintf(", %d packets", c.Counters.Packets)
	}
	return s
}

func lines(c *iptables.Chain, o DifferenceOptions) []string {
	out := make([]string, len(c.Rules))
	for i, r := range c.Rules {
		out[i] = r.Save(c.Name)
		if o.Packets {
			out[i] = fmt.Sprintf("[%d packets] %s", r.Counters.Packets, out[i])
		}
	}
	return out
}

// ruleDifferences compares two lists after their common start and end: a rule that is missing is one difference, not as many
// as rules follow it.
func ruleDifferences(table, chain string, m, k []string) []Difference {
	start := 0
	for start < len(m) && start < len(k) && m[start] == k[start] {
		start++
	}
	end := 0
	for end < len(m)-start && end < len(k)-start && m[len(m)-1-end] == k[len(k)-1-end] {
		end++
	}
	m, k = m[start:len(m)-end], k[start:len(k)-end]
	var out []Difference
	for i := range max(len(m), len(k)) {
		d := Difference{Table: table, Chain: chain, Rule: start + i + 1, Model: "absent", Kernel: "absent"}
		if i < len(m) {
			d.Model = m[i]
		}
		if i < len(k) {
			d.Kernel = k[i]
		}
		if d.Model != d.Kernel {
			out = append(out, d)
		}
	}
	return out
}
