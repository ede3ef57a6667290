package datapath

import (
	"fmt"
	"strings"

	"github.com/svclab/svclab/datapath/ipset"
	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/nftables"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/route"
)

// Program is what a node is loaded with: everything that operations configure. It has two readings: a Node walks packets
// through it, and a kernel is loaded by the operations that made it. Without a node around it, it is what a proxier leaves
// behind, to be printed and compared.
type Program struct {
	Routes *route.Table // interfaces, addresses, routes
	Sets   *ipset.Store
	IPVS   *ipvs.Table
	NFT    nftables.Ruleset

	rules   [2]*iptables.Ruleset // IPv4, IPv6; replaced, never changed
	sysctls map[string]string
}

// NewProgram returns an empty program over a node's routes, which it owns from now on.
func NewProgram(routes *route.Table, vs ipvs.Sysctls) *Program {
	p := &Program{
		Routes: routes, Sets: ipset.NewStore(), IPVS: ipvs.NewTable(vs), sysctls: map[string]string{},
		rules: [2]*iptables.Ruleset{iptables.NewRuleset(packet.IPv4), iptables.NewRuleset(packet.IPv6)},
	}
	p.Sets.InUse = func(name string) bool { return p.rules[0].UsesSet(name) || p.rules[1].UsesSet(name) }
	return p
}

// index is a family's place in arrays.
func index(f packet.Family) int {
	if f == packet.IPv6 {
		return 1
	}
	return 0
}

// Rules returns a family's iptables rule set. The caller must not change it.
func (p *Program) Rules(f packet.Family) *iptables.Ruleset { return p.rules[index(f)] }

// Sysctl returns the value that an operation gave a kernel parameter, "" where none did.
func (p *Program) Sysctl(key string) string { return p.sysctls[key] }

// Sysctls returns all kernel parameters that operations set. The caller must not change the map.
func (p *Program) Sysctls() map[string]string { return p.sysctls }

// Apply carries out one operation. An error says why it failed; it has changed nothing then. Operations on connections are
// not a program's: they are an UnsupportedOpError.
func (p *Program) Apply(o Op) error {
	switch o := o.(type) {
	case IPTablesRestore:
		return p.change(o.Family, func(rs *iptables.Ruleset) error {
			return rs.Restore("<stdin>", o.Text, iptables.RestoreOptions{NoFlush: o.NoFlush, Counters: o.Counters, Table: o.Table})
		})
	case IPTablesExec:
		return p.change(o.Family, func(rs *iptables.Ruleset) error { return rs.Exec(o.Args) })
	case NFTRun:
		return p.NFT.Run("<stdin>", o.Text)
	case SetOp:
		return p.Sets.Exec(p.IPVS.Now(), SetArgs(o))
	case SetCommands:
		return p.Sets.Restore(p.IPVS.Now(), "<stdin>", o.Text)
	case LinkAdd, LinkDelete, AddressAdd, AddressDelete:
		return p.link(o)
	case Sysctl:
		return p.sysctl(o)
	}
	return p.virtual(o)
}

// change runs a change on a copy of a family's rule set and keeps the copy if the change succeeds.
func (p *Program) change(f packet.Family, do func(*iptables.Ruleset) error) error {
	next := p.Rules(f).Clone()
	if err := do(next); err != nil {
		return err
	}
	p.rules[index(f)] = next
	return nil
}

func (p *Program) link(o Op) error {
	switch o := o.(type) {
	case LinkAdd:
		if p.Routes.HasInterface(o.Interface) {
			return fmt.Errorf("device %q exists", o.Interface)
		}
		p.Routes.AddInterface(route.Interface{Name: o.Interface, NoARP: true})
	case LinkDelete:
		if !p.Routes.DeleteInterface(o.Interface) {
			return fmt.Errorf("cannot find device %q", o.Interface)
		}
	case AddressAdd:
		if !p.Routes.AddAddress(o.Interface, o.Prefix) {
			return fmt.Errorf("%s is on %s already, or there is no such device", o.Prefix, o.Interface)
		}
	case AddressDelete:
		if !p.Routes.DeleteAddress(o.Interface, o.Prefix) {
			return fmt.Errorf("%s is not on %s", o.Prefix, o.Interface)
		}
	}
	return nil
}

// sysctl sets a kernel parameter. Those of IPVS take effect in its table; what others do is the Node's.
func (p *Program) sysctl(o Sysctl) error {
	switch {
	case strings.HasPrefix(o.Key, "net.ipv4.vs."):
		if err := p.IPVS.SetSysctl(o.Key, o.Value); err != nil {
			return err
		}
	case !strings.HasPrefix(o.Key, "net."):
		return fmt.Errorf("sysctl %q: no such key", o.Key)
	}
	p.sysctls[o.Key] = o.Value
	return nil
}

// virtual carries out an operation on virtual services.
func (p *Program) virtual(o Op) error {
	switch o := o.(type) {
	case IPVSServiceAdd:
		return p.IPVS.AddService(o.Service)
	case IPVSServiceEdit:
		return p.IPVS.EditService(o.Service)
	case IPVSServiceDelete:
		return p.IPVS.DeleteService(o.Key)
	case IPVSDestinationAdd:
		return p.IPVS.AddDestination(o.Key, o.Destination)
	case IPVSDestinationEdit:
		return p.IPVS.EditDestination(o.Key, o.Destination)
	case IPVSDestinationDelete:
		return p.IPVS.DeleteDestination(o.Key, o.Server)
	case IPVSTimeouts:
		return p.IPVS.SetTimeouts(o.Timeouts)
	case IPVSFlush:
		p.IPVS.Flush()
		return nil
	}
	return &UnsupportedOpError{Op: o}
}
