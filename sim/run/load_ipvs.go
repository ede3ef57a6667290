package run

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/kubeproxy"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/input"
)

// part is the print of one tool: a file, or a section of one. Its text keeps its place in the file by empty lines before it.
type part struct {
	kind input.Kind
	name string
	text string
}

// kindAddresses is the section of addresses on kube-ipvs0.
const kindAddresses input.Kind = "addresses"

// partsOf cuts dumps into the prints of single tools.
func partsOf(sources []input.Source) ([]part, error) {
	var out []part
	for _, s := range sources {
		name, text := sourceName(s.Name), string(s.Data)
		k := input.Detect(s.Data)
		if k != input.KindSections {
			out = append(out, part{k, name, text})
			continue
		}
		line, now := 0, -1
		for l := range strings.Lines(text) {
			kind, heads := map[string]input.Kind{
				"# ipvsadm -Sn": input.KindIPVSAdm, "# ipset save": input.KindIPSet,
				"# addresses on kube-ipvs0": kindAddresses, "# iptables-save": input.KindIPTables,
			}[strings.TrimSpace(l)]
			line++
			switch {
			case heads:
				out = append(out, part{kind, name, strings.Repeat("\n", line)})
				now = len(out) - 1
			case now >= 0:
				out[now].text += l
			case strings.TrimSpace(l) != "":
				return nil, fmt.Errorf("%s:%d: %q stands before any section", name, line, strings.TrimSpace(l))
			}
		}
	}
	return out, nil
}

// loadIPVS loads sets, virtual servers and their addresses. Where the dumps do not tell what is bound to kube-ipvs0, every
// virtual address is: without that, IPVS sees no packet.
func (s *Subject) loadIPVS(parts []part) error {
	bound := false
	for _, p := range parts {
		switch p.kind {
		case input.KindIPSet:
			op, err := setsOf(p)
			if err != nil {
				return err
			}
			if err := s.host().Run(op); err != nil {
				return located(err, p.name)
			}
		case input.KindIPVSAdm:
			s.Mode = service.ModeIPVS
			if err := s.loadServers(p); err != nil {
				return err
			}
		case kindAddresses:
			bound = true
			if err := s.bind(p); err != nil {
				return err
			}
		}
	}
	if s.Mode != service.ModeIPVS {
		return nil
	}
	if err := s.proxySysctls(); err != nil {
		return err
	}
	if bound {
		return nil
	}
	n := 0
	for _, v := range s.Node.IPVS.Services() {
		a := v.Key.Addr.Addr()
		if v.Key.Mark != 0 || s.Node.Routes.IsLocal(a) {
			continue
		}
		n++
		if err := s.bindAddress(netip.PrefixFrom(a, a.BitLen())); err != nil {
			return err
		}
	}
	if n > 0 {
		s.Warnings = append(s.Warnings, fmt.Sprintf("the dumps do not tell the addresses of %s: %d virtual addresses are taken for bound there", kubeproxy.DummyInterface, n))
	}
	return nil
}

// proxySysctls sets what kube-proxy sets, on a node that has its sets; dumps do not tell kernel parameters.
func (s *Subject) proxySysctls() error {
	if !slices.ContainsFunc(s.Node.Sets.Names(), func(n string) bool { return strings.HasPrefix(n, "KUBE-") }) {
		return nil
	}
	for _, key := range [...]string{"conntrack", "expire_nodest_conn", "expire_quiescent_template"} {
		if err := s.host().Run(datapath.Sysctl{Key: "net.ipv4.vs." + key, Value: "1"}); err != nil {
			return err
		}
	}
	return nil
}

// setsOf reads a save or a listing of sets, and spells it as input of ipset restore.
func setsOf(p part) (datapath.SetCommands, error) {
	text, err := formatIPSet(p.name, p.text)
	return datapath.SetCommands{Text: text}, err
}

func (s *Subject) loadServers(p part) error {
	list, err := ipvs.ParseSave(p.name, p.text)
	if err != nil {
		return err
	}
	for _, c := range list {
		op, err := serverOp(c)
		if err == nil {
			err = s.host().Run(op)
		}
		if err != nil {
			return located(err, p.name)
		}
	}
	return nil
}

// serverOp is the operation that a command of ipvsadm stands for.
func serverOp(c ipvs.Command) (datapath.Op, error) {
	switch c.Op {
	case ipvs.ServiceAdd:
		return datapath.IPVSServiceAdd{Service: c.Service}, nil
	case ipvs.ServiceEdit:
		return datapath.IPVSServiceEdit{Service: c.Service}, nil
	case ipvs.ServiceDelete:
		return datapath.IPVSServiceDelete{Key: c.Service.Key}, nil
	case ipvs.ServerAdd:
		return datapath.IPVSDestinationAdd{Key: c.Service.Key, Destination: c.Server}, nil
	case ipvs.ServerEdit:
		return datapath.IPVSDestinationEdit{Key: c.Service.Key, Destination: c.Server}, nil
	case ipvs.ServerDelete:
		return datapath.IPVSDestinationDelete{Key: c.Service.Key, Server: c.Server.Addr}, nil
	case ipvs.Clear:
		return datapath.IPVSFlush{}, nil
	}
	return nil, &InputError{What: "ipvsadm", Text: c.String(), Why: "is no command that changes virtual servers"}
}

// bindAddress puts an address on kube-ipvs0, which is made first where there is none.
func (s *Subject) bindAddress(p netip.Prefix) error {
	if !s.Node.Routes.HasInterface(kubeproxy.DummyInterface) {
		if err := s.host().Run(datapath.LinkAdd{Interface: kubeproxy.DummyInterface}); err != nil {
			return err
		}
	}
	return s.host().Run(datapath.AddressAdd{Interface: kubeproxy.DummyInterface, Prefix: p})
}

// bind puts the addresses of a section on kube-ipvs0.
func (s *Subject) bind(p part) error {
	text, err := formatAddresses(p.name, p.text)
	if err != nil {
		return err
	}
	for l := range strings.Lines(text) {
		l = strings.TrimSpace(l)
		prefix, err := netip.ParsePrefix(l)
		if err != nil {
			a, _ := netip.ParseAddr(l) // formatAddresses has read it
			prefix = netip.PrefixFrom(a, a.BitLen())
		}
		if err := s.bindAddress(prefix); err != nil {
			return located(err, p.name)
		}
	}
	return nil
}

// emptySets makes the sets that rules name and no dump holds: without content, as it is not known.
func (s *Subject) emptySets(name string, rs *iptables.Ruleset) error {
	family := "inet"
	if rs.Family == packet.IPv6 {
		family = "inet6"
	}
	var made []string
	for _, n := range rs.SetNames() {
		if s.Node.Sets.Has(n) {
			continue
		}
		op := datapath.SetCreate{Name: n, Type: "hash:ip", Options: "family " + family}
		if err := s.host().Run(op); err != nil {
			return located(err, name)
		}
		made = append(made, n)
	}
	if len(made) > 0 {
		s.Warnings = append(s.Warnings, fmt.Sprintf("%s: no dump holds the sets %s: they are taken for empty", name, strings.Join(made, ", ")))
	}
	return nil
}
