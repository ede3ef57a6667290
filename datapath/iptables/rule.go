package iptables

import (
	"net/netip"
	"strings"

	"github.com/svclab/svclab/datapath/packet"
)

// Rule is one rule. It is immutable once it is in a Ruleset.
type Rule struct {
	Header
	Matches  []Match // in the order given, which is the order of evaluation
	Target   Target  // nil: the rule only counts
	Counters Counters
	// Text is the rule as it was given, without command, chain and counters; "" when it was never spelled alone, as one of
	// several rules made from a list of addresses.
	Text string
	Pos  Position
}

// Header is the part of a rule that needs no -m (struct ipt_ip, struct ip6t_ip6).
type Header struct {
	Src, Dst Address
	In, Out  Interface
	Proto    packet.Protocol // 0: any
	NotProto bool
	Fragment bool // -f: second and further fragments only (IPv4)
	NotFrag  bool // ! -f
}

// Address is a condition on an address. The zero value matches every address.
type Address struct {
	Addr   netip.Addr // already masked; invalid when there is no condition
	Mask   netip.Addr // any bits, not only prefixes
	Invert bool
}

// any reports whether every address matches.
func (a Address) any() bool { return !a.Addr.IsValid() }

// Prefix returns the condition as a prefix; ok is false when it is inverted or its mask is none.
func (a Address) Prefix() (p netip.Prefix, ok bool) {
	if a.any() || a.Invert {
		return netip.Prefix{}, false
	}
	n := prefixLength(a.Mask)
	return netip.PrefixFrom(a.Addr, max(n, 0)), n >= 0
}

// Interface is a condition on an interface name. A final + matches any rest. The zero value matches every name.
type Interface struct {
	Name   string
	Invert bool
}

// any reports whether every interface matches; a lone + is printed by nobody and matches everything.
func (i Interface) any() bool { return i.Name == "" || i.Name == "+" && !i.Invert }

// Match reports whether an interface name fulfils the condition.
func (i Interface) Match(name string) bool {
	if i.Name == "" {
		return true
	}
	if p, ok := strings.CutSuffix(i.Name, "+"); ok {
		return strings.HasPrefix(name, p) != i.Invert
	}
	return (i.Name == name) != i.Invert
}

// Match is one -m of a rule: typed, with its parser, printer and evaluator in one file.
type Match interface {
	// Name is the name as iptables-save prints it after -m.
	Name() string
	// Append appends the options as iptables-save prints them, each with a blank in front.
	Append(b []byte) []byte
}

// Target is the -j of a rule.
type Target interface {
	// Name is the name as iptables-save prints it after -j.
	Name() string
	// Append appends the options as iptables-save prints them, each with a blank in front.
	Append(b []byte) []byte
}

// String prints the rule as iptables-save does, without command and chain.
func (r *Rule) String() string { return string(r.appendSave(nil)) }

// Save prints the rule as iptables-save does, in a chain.
func (r *Rule) Save(chain string) string {
	b := append(make([]byte, 0, 128), "-A "...)
	b = append(b, chain...)
	return string(r.appendSave(b))
}

// Comments joins the rule's comments.
func (r *Rule) Comments() string {
	var s []string
	for _, m := range r.Matches {
		if c, ok := m.(*Comment); ok {
			s = append(s, c.Text)
		}
	}
	return strings.Join(s, " ")
}

// appendSave appends the rule in iptables-save's order, each part with a blank in front.
func (r *Rule) appendSave(b []byte) []byte {
	b = r.Header.append(b)
	for _, m := range r.Matches {
		b = append(b, " -m "...)
		b = append(b, m.Name()...)
		b = m.Append(b)
	}
	if r.Target != nil {
		if j, ok := r.Target.(*Jump); ok && j.Goto {
			b = append(b, " -g "...)
		} else {
			b = append(b, " -j "...)
		}
		b = append(b, r.Target.Name()...)
		b = r.Target.Append(b)
	}
	return b
}

// equal reports whether two rules say the same: what iptables -C and -D compare.
func (r *Rule) equal(o *Rule) bool {
	if r.Header != o.Header || len(r.Matches) != len(o.Matches) || (r.Target == nil) != (o.Target == nil) {
		return false
	}
	return string(r.appendSave(nil)) == string(o.appendSave(nil))
}
