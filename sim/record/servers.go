package record

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/kubeproxy"
	"github.com/svclab/svclab/datapath/packet"
)

// Servers is what a recording of rules has beside them where the node has IPVS: sets, virtual services and their addresses.
type Servers struct {
	Sets      string           // for ipset restore
	Addresses []netip.Prefix   // on kube-ipvs0
	Commands  string           // of ipvsadm, one a line, in an order that gives servers the kernel's
	Sysctl    map[string]int64 // of net.ipv4.vs, those that are not at their default
}

// ServersOf is what a node has; nodeIPs are addresses of other interfaces.
func ServersOf(n *datapath.Node, nodeIPs []netip.Addr) *Servers {
	if len(n.IPVS.Services()) == 0 {
		return nil
	}
	s := &Servers{Sets: n.Sets.Print(0), Commands: ipvs.PrintSave(n.IPVS.Commands()), Sysctl: map[string]int64{}}
	for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		for _, a := range n.Routes.Addresses(f) {
			if !a.IsLoopback() && !slices.Contains(nodeIPs, a) {
				s.Addresses = append(s.Addresses, netip.PrefixFrom(a, a.BitLen()))
			}
		}
	}
	now, usual := n.IPVS.Sysctls(), ipvs.DefaultSysctls()
	note := func(name string, v, was bool) {
		if v != was {
			s.Sysctl[name] = map[bool]int64{true: 1}[v]
		}
	}
	note("conntrack", now.Conntrack, usual.Conntrack)
	note("expire_nodest_conn", now.ExpireNodestConn, usual.ExpireNodestConn)
	note("expire_quiescent_template", now.ExpireQuiescentTemplate, usual.ExpireQuiescentTemplate)
	note("sloppy_tcp", now.SloppyTCP, usual.SloppyTCP)
	note("sloppy_sctp", now.SloppySCTP, usual.SloppySCTP)
	note("cache_bypass", now.CacheBypass, usual.CacheBypass)
	note("nat_icmp_send", now.NATICMPSend, usual.NATICMPSend)
	if now.ConnReuseMode != usual.ConnReuseMode {
		s.Sysctl["conn_reuse_mode"] = int64(now.ConnReuseMode)
	}
	return s
}

// load gives a node what a recording of rules has beside them. Rules come after it: they name its sets.
func (t *Trace) load(n *datapath.Node) error {
	if t.Sets != "" {
		if err := n.Apply(datapath.SetCommands{Text: t.Sets}); err != nil {
			return err
		}
	}
	for i, a := range t.Addresses {
		if i == 0 {
			if err := n.Apply(datapath.LinkAdd{Interface: kubeproxy.DummyInterface}); err != nil {
				return err
			}
		}
		if err := n.Apply(datapath.AddressAdd{Interface: kubeproxy.DummyInterface, Prefix: a}); err != nil {
			return err
		}
	}
	if t.Servers == "" {
		return nil
	}
	for _, k := range sorted(t.Sysctl) {
		if err := n.IPVS.SetSysctl(k, fmt.Sprint(t.Sysctl[k])); err != nil {
			return err
		}
	}
	list, err := ipvs.ParseSave("servers", t.Servers)
	if err != nil {
		return err
	}
	for _, c := range list {
		if err := n.IPVS.Run(c); err != nil {
			return err
		}
	}
	return nil
}
