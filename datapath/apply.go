package datapath

import (
	"fmt"
	"strings"

	"github.com/svclab/svclab/datapath/conntrack"
	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/route"
)

// Apply carries out operations in order, as a kernel would when it is given their commands. It stops at the first that
// fails, with an OpError; that one has changed nothing, those before it stay.
func (n *Node) Apply(ops ...Op) error {
	var dirty [2]bool
	for i, o := range ops {
		f, err := n.apply(o)
		if err != nil {
			_ = n.relink(dirty)
			return &OpError{Index: i, Op: o, Err: err}
		}
		switch f {
		case packet.IPv4:
			dirty[0] = true
		case packet.IPv6:
			dirty[1] = true
		}
	}
	return n.relink(dirty)
}

// apply carries out one operation and says which family's rules it changed, 0 for none.
func (n *Node) apply(o Op) (packet.Family, error) {
	switch o := o.(type) {
	case IPTablesRestore:
		return o.Family, n.changeRules(o.Family, func(rs *iptables.Ruleset) error {
			return rs.Restore("<stdin>", o.Text, iptables.RestoreOptions{NoFlush: o.NoFlush, Counters: o.Counters, Table: o.Table})
		})
	case IPTablesExec:
		return o.Family, n.changeRules(o.Family, func(rs *iptables.Ruleset) error { return rs.Exec(o.Args) })
	case LinkAdd:
		n.Routes.AddInterface(route.Interface{Name: o.Interface, NoARP: true})
	case LinkDelete:
		if !n.Routes.DeleteInterface(o.Interface) {
			return 0, fmt.Errorf("cannot find device %q", o.Interface)
		}
	case AddressAdd:
		n.Routes.AddInterface(route.Interface{Name: o.Interface, NoARP: true})
		if !n.Routes.AddAddress(o.Interface, o.Prefix) {
			return 0, fmt.Errorf("%s is on %s already", o.Prefix, o.Interface)
		}
	case AddressDelete:
		if !n.Routes.DeleteAddress(o.Interface, o.Prefix) {
			return 0, fmt.Errorf("%s is not on %s", o.Prefix, o.Interface)
		}
	case Sysctl:
		return 0, n.sysctl(o)
	case SetOp:
		return 0, n.Sets.Exec(n.now, SetArgs(o))
	case SetCommands:
		return 0, n.Sets.Restore(n.now, "<stdin>", o.Text)
	case IPVSServiceAdd:
		return 0, n.IPVS.AddService(o.Service)
	case IPVSServiceEdit:
		return 0, n.IPVS.EditService(o.Service)
	case IPVSServiceDelete:
		return 0, n.IPVS.DeleteService(o.Key)
	case IPVSDestinationAdd:
		return 0, n.IPVS.AddDestination(o.Key, o.Destination)
	case IPVSDestinationEdit:
		return 0, n.IPVS.EditDestination(o.Key, o.Destination)
	case IPVSDestinationDelete:
		return 0, n.IPVS.DeleteDestination(o.Key, o.Server)
	case IPVSTimeouts:
		return 0, n.IPVS.SetTimeouts(o.Timeouts)
	case IPVSFlush:
		n.IPVS.Flush()
	case NFTRun:
		return 0, n.nft(o)
	case ConntrackDelete:
		n.Conns.Delete(o.Matches, n.walk.Journal)
	default:
		return 0, &UnsupportedOpError{Op: o}
	}
	return 0, nil
}

// changeRules runs a change on a copy of a family's rule set and keeps the copy if the change succeeds.
func (n *Node) changeRules(f packet.Family, change func(*iptables.Ruleset) error) error {
	fam := n.family(f)
	next := fam.rules.Clone()
	if err := change(next); err != nil {
		return err
	}
	fam.rules = next
	return nil
}

// relink links the rule sets that changed, keeping counters and match state as the profile's iptables variant does.
func (n *Node) relink(dirty [2]bool) error {
	for i, f := range [...]packet.Family{packet.IPv4, packet.IPv6} {
		if dirty[i] {
			if err := n.link(f); err != nil {
				return err
			}
		}
	}
	return nil
}

func (n *Node) link(f packet.Family) error {
	fam := n.family(f)
	var l *iptables.Linked
	var err error
	if fam.linked == nil {
		l, err = iptables.Link(fam.rules, iptables.LinkEnv{
			HZ: n.Profile.HZ, NFT: n.Profile.IPTables == NFT, Recent: n.recent, Limits: n.limits, HasSet: n.Sets.Has,
		})
	} else {
		l, err = iptables.Relink(fam.linked, fam.rules)
	}
	if err != nil {
		fam.rules = fam.walked
		return err
	}
	fam.linked, fam.walked, fam.tracking = l, fam.rules, l.NeedsConntrack()
	return nil
}

// sysctl sets a kernel parameter. Those that change what packets meet are modelled; the rest of net.* is kept and has no effect.
func (n *Node) sysctl(o Sysctl) error {
	on := o.Value != "0"
	switch o.Key {
	case "net.ipv4.conf.all.route_localnet":
		n.Profile.RouteLocalnet = on
	case "net.ipv4.ip_forward":
		n.Profile.IPForward = on
	case "net.netfilter.nf_conntrack_tcp_be_liberal":
		n.Profile.TCPBeLiberal = on
	default:
		if strings.HasPrefix(o.Key, "net.ipv4.vs.") {
			if err := n.IPVS.SetSysctl(o.Key, o.Value); err != nil {
				return err
			}
		} else if !strings.HasPrefix(o.Key, "net.") {
			return fmt.Errorf("sysctl %q: no such key", o.Key)
		}
	}
	n.sysctls[o.Key] = o.Value
	return nil
}

// Matches reports whether the operation removes a connection.
func (o ConntrackDelete) Matches(c *conntrack.Conn) bool {
	orig, reply := c.Original, c.Reply
	return (o.Family == 0 || packet.FamilyOf(orig.Dst.Addr()) == o.Family) &&
		(o.Proto == 0 || orig.Proto == o.Proto) &&
		(!o.OrigSrc.IsValid() || orig.Src.Addr() == o.OrigSrc) &&
		(!o.OrigDst.Addr().IsValid() || orig.Dst.Addr() == o.OrigDst.Addr()) &&
		(o.OrigDst.Port() == 0 || orig.Dst.Port() == o.OrigDst.Port()) &&
		(!o.ReplySrc.Addr().IsValid() || reply.Src.Addr() == o.ReplySrc.Addr()) &&
		(o.ReplySrc.Port() == 0 || reply.Src.Port() == o.ReplySrc.Port())
}
