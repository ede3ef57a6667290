package iptables

import (
	"strconv"

	"github.com/svclab/svclab/datapath/netfilter"
)

// Style is how rules are spelled.
type Style uint8

// The styles.
const (
	Save   Style = iota // as iptables-save 1.8.9 prints them
	Native              // as they were given
)

// canaryChain is kube-proxy's chain for noticing a flush; normalised listings leave it out.
const canaryChain = "KUBE-PROXY-CANARY"

// normalisedTables is the order of tables in a normalised listing: nat and filter first, then the others as a packet meets
// them.
var normalisedTables = []TableID{NAT, Filter, Raw, Mangle, Security}

// Print prints all tables in the form of iptables-save, without its time stamps, in the order in which they came into being.
// With counters, each rule has the counters it was loaded with in front.
func (rs *Ruleset) Print(style Style, counters bool) string {
	var b []byte
	for _, t := range rs.Tables() {
		b = t.append(b, style, counters, nil)
	}
	return string(b)
}

// PrintNormalised prints the tables nat, filter, raw, mangle, security, those that exist: built-in chains in netfilter order, then
// the others by name, every counter [0:0], without kube-proxy's canary chain. A table of which nothing but empty built-in chains with policy ACCEPT remains is left
// out, unless it is nat or filter.
func (rs *Ruleset) PrintNormalised(style Style) string {
	var b []byte
	for _, id := range normalisedTables {
		if t := rs.tables[id]; t != nil && (id == NAT || id == Filter || !t.bare()) {
			b = t.append(b, style, false, &normalised{})
		}
	}
	return string(b)
}

type normalised struct{}

// bare reports whether the table does nothing.
func (t *Table) bare() bool {
	for _, c := range t.chains {
		if len(c.Rules) > 0 || c.Builtin && c.Policy != netfilter.Accept || !c.Builtin && c.Name != canaryChain {
			return false
		}
	}
	return true
}

func (t *Table) append(b []byte, style Style, counters bool, norm *normalised) []byte {
	chains := t.Chains()
	b = append(b, '*')
	b = append(b, t.ID.String()...)
	b = append(b, '\n')
	for _, c := range chains {
		if norm != nil && c.Name == canaryChain {
			continue
		}
		b = append(b, ':')
		b = append(b, c.Name...)
		b = append(b, ' ')
		b = append(b, policyName(c.Policy)...)
		b = append(b, ' ')
		n := Counters{}
		if c.Builtin && norm == nil {
			n = *c.Counters
		}
		b = n.append(b)
		b = append(b, '\n')
	}
	for _, c := range chains {
		if norm != nil && c.Name == canaryChain {
			continue
		}
		for _, r := range c.Rules {
			if counters {
				b = r.Counters.append(b)
				b = append(b, ' ')
			}
			b = r.append(b, c.Name, style)
			b = append(b, '\n')
		}
	}
	return append(b, "COMMIT\n"...)
}

func (r *Rule) append(b []byte, chain string, style Style) []byte {
	b = append(b, "-A "...)
	b = append(b, chain...)
	if style == Native && r.Text != "" {
		b = append(b, ' ')
		return append(b, r.Text...)
	}
	return r.appendSave(b)
}

func (n Counters) append(b []byte) []byte {
	b = append(b, '[')
	b = strconv.AppendUint(b, n.Packets, 10)
	b = append(b, ':')
	b = strconv.AppendUint(b, n.Bytes, 10)
	return append(b, ']')
}
