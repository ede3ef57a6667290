package datapath

import (
	"errors"

	"github.com/svclab/svclab/datapath/conntrack"
	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/nftables"
	"github.com/svclab/svclab/datapath/packet"
)

// Apply carries out operations in order, as a kernel would when it is given their commands, and makes the rules they change
// ready to walk. It stops at the first that fails, with an OpError; that one has changed nothing, those before it stay.
func (n *Node) Apply(ops ...Op) error {
	for i, o := range ops {
		if err := n.apply(o); err != nil {
			return errors.Join(&OpError{Index: i, Op: o, Err: err}, n.relink())
		}
	}
	return n.relink()
}

func (n *Node) apply(o Op) error {
	switch o := o.(type) {
	case ConntrackDelete:
		n.Conns.Delete(o.Matches, n.walk.Journal)
		return nil
	case NFTRun:
		return n.refuseNFT(o)
	}
	if err := n.Program.Apply(o); err != nil {
		return err
	}
	if s, ok := o.(Sysctl); ok {
		n.obey(s)
	}
	return nil
}

// obey lets a kernel parameter take effect where it changes what packets meet; others of net.* are kept and have none.
func (n *Node) obey(o Sysctl) {
	on := o.Value != "0"
	switch o.Key {
	case "net.ipv4.conf.all.route_localnet":
		n.Profile.RouteLocalnet = on
	case "net.ipv4.ip_forward":
		n.Profile.IPForward = on
	case "net.netfilter.nf_conntrack_tcp_be_liberal":
		n.Profile.TCPBeLiberal = on
		n.Conns.SetTCPBeLiberal(on)
	}
}

// refuseNFT takes transactions that leave no table behind, as a clean-up does. A node has no nftables rules, since its walk
// would pass them over.
func (n *Node) refuseNFT(o NFTRun) error {
	var rs nftables.Ruleset
	if err := rs.Run("<stdin>", o.Text); err != nil {
		return err
	}
	if len(rs.Tables()) > 0 {
		return &NotWalkedError{What: "nftables"}
	}
	return nil
}

// relink makes the rule sets that changed ready to walk, keeping counters and match state as the profile's iptables variant
// does. One that does not link is given up for the one before.
func (n *Node) relink() error {
	for i := range n.families {
		if n.families[i].walked == n.rules[i] {
			continue
		}
		if err := n.link(i); err != nil {
			n.rules[i] = n.families[i].walked
			return err
		}
	}
	return nil
}

func (n *Node) link(i int) error {
	fam := &n.families[i]
	var l *iptables.Linked
	var err error
	if fam.linked == nil {
		l, err = iptables.Link(n.rules[i], iptables.LinkEnv{
			HZ: n.Profile.HZ, NFT: n.Profile.IPTables == NFT, Recent: n.recent, Limits: n.limits, HasSet: n.Sets.Has,
		})
	} else {
		l, err = iptables.Relink(fam.linked, n.rules[i])
	}
	if err != nil {
		return err
	}
	fam.linked, fam.walked, fam.tracking = l, n.rules[i], l.NeedsConntrack()
	fam.register()
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
