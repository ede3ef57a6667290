package run

import (
	"net/netip"
	"regexp"
	"strings"

	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/kernel"
)

// places says to which Service a chain of rules belongs: kube-proxy writes the Service port's name in its rules' comments.
type places map[string]string // by chain

// commentOf finds the Service in a comment: "default/nginx:http cluster IP".
var commentOf = regexp.MustCompile(`--comment "?([^\s"/]+/[^\s":]+)`)

func placesOf(s *Subject) places {
	p := places{}
	for _, f := range families {
		for _, t := range s.Node.Rules(f).Tables() {
			for _, c := range t.Chains() {
				for _, r := range c.Rules {
					name := serviceIn(r)
					if name == "" {
						continue
					}
					if j, ok := r.Target.(*iptables.Jump); ok {
						p.put(j.Chain, name)
					}
					if !shared(c) {
						p.put(c.Name, name)
					}
				}
			}
		}
	}
	return p
}

// put notes a chain's Service; one that serves several is nobody's.
func (p places) put(chain, name string) {
	if old, ok := p[chain]; ok && old != name {
		name = ""
	}
	p[chain] = name
}

// shared chains hold rules of many Services.
func shared(c *iptables.Chain) bool { return c.Builtin }

func serviceIn(r *iptables.Rule) string {
	word, _, _ := strings.Cut(r.Comments(), " ")
	name, _, _ := strings.Cut(word, ":")
	if strings.Count(name, "/") != 1 {
		return ""
	}
	return name
}

// service names the Service that a difference is about, "" for none or many.
func (p places) service(d kernel.Difference) string {
	for _, text := range []string{d.Model, d.Kernel} {
		if m := commentOf.FindStringSubmatch(text); m != nil {
			return m[1]
		}
	}
	return p[d.Chain]
}

// serviceAt names the Service that has a front end, "" when none is known.
func (s *Subject) serviceAt(to netip.AddrPort) string {
	f := packet.FamilyOf(to.Addr())
	for _, p := range s.State.Ports(f) {
		for _, e := range s.frontEnds(f, &p) {
			if e.to == to {
				return p.Name.String()
			}
		}
	}
	for _, t := range s.Node.Rules(f).Tables() {
		for _, c := range t.Chains() {
			for _, r := range c.Rules {
				dst, ok := r.Dst.Prefix()
				name := serviceIn(r)
				if name != "" && asksFor(r, to.Port()) && (ok && dst.IsSingleIP() && dst.Addr() == to.Addr() || !ok && s.Host.IsNode(to.Addr())) {
					return name
				}
			}
		}
	}
	return ""
}

// asksFor reports whether a rule asks for one destination port.
func asksFor(r *iptables.Rule, port uint16) bool {
	for _, m := range r.Matches {
		switch m := m.(type) {
		case *iptables.TCP:
			return m.Dport.Set && m.Dport.Lo == port && m.Dport.Hi == port
		case *iptables.UDP:
			return m.Dport.Set && m.Dport.Lo == port && m.Dport.Hi == port
		}
	}
	return false
}
