package box

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Veth joins two namespaces by a pair of virtual Ethernet interfaces without address resolution and multicast: no
// solicitation and no membership report is ever sent, and neighbours are entered by SetNeighbor. The ends get the hardware
// addresses given and are left down. A router of IPv6 joins multicast groups on interfaces that have multicast when they
// appear: switch forwarding on after this.
//
// The ends get different numbers: of interfaces that have their peer's, the kernel takes changes of the carrier for not urgent, and
// lets no more than one through a second (net/core/link_watch.c, linkwatch_urgent_event).
func Veth(a *Namespace, aName string, aMAC net.HardwareAddr, b *Namespace, bName string, bMAC net.HardwareAddr) error {
	attr := netlink.NewLinkAttrs()
	a.veths++
	attr.Name, attr.HardwareAddr, attr.Index = aName, aMAC, firstVeth+a.veths
	v := netlink.NewVeth(attr)
	v.PeerName, v.PeerHardwareAddr, v.PeerNamespace = bName, bMAC, netlink.NsFd(int(b.fd))
	if err := a.links.LinkAdd(v); err != nil {
		return fmt.Errorf("veth %s in %s to %s in %s: %w", aName, a.Name, bName, b.Name, err)
	}
	for _, end := range []struct {
		n    *Namespace
		name string
	}{{a, aName}, {b, bName}} {
		l, err := end.n.link(end.name)
		if err != nil {
			return err
		}
		if err := errors.Join(end.n.links.LinkSetARPOff(l), end.n.links.LinkSetMulticastOff(l)); err != nil {
			return fmt.Errorf("%s in %s: %w", end.name, end.n.Name, err)
		}
	}
	return nil
}

// firstVeth is more than interfaces that the kernel numbers by itself.
const firstVeth = 16

func (n *Namespace) link(name string) (netlink.Link, error) {
	l, err := n.links.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("interface %q in %s: %w", name, n.Name, err)
	}
	return l, nil
}

// Up sets an interface up.
func (n *Namespace) Up(name string) error {
	l, err := n.link(name)
	if err != nil {
		return err
	}
	return n.links.LinkSetUp(l)
}

// upTimeout bounds the wait for an interface to carry packets.
const upTimeout = 5 * time.Second

// WaitUp waits until an interface carries packets: the kernel notes a carrier, and gives the interface its queue, by a worker of
// its own (net/core/link_watch.c); until then whatever is sent is lost.
func (n *Namespace) WaitUp(name string) error {
	for deadline := time.Now().Add(upTimeout); ; time.Sleep(time.Millisecond) {
		l, err := n.link(name)
		if err != nil {
			return err
		}
		if l.Attrs().OperState == netlink.OperUp {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("interface %s in %s is %s after %s", name, n.Name, l.Attrs().OperState, upTimeout)
		}
	}
}

// AddDummy makes an interface that leads nowhere and leaves it down, as kube-proxy leaves kube-ipvs0.
func (n *Namespace) AddDummy(name string) error {
	attr := netlink.NewLinkAttrs()
	attr.Name = name
	err := n.links.LinkAdd(&netlink.Dummy{LinkAttrs: attr})
	if errors.Is(err, unix.EOPNOTSUPP) {
		return &MissingError{What: "dummy interfaces", Reason: NoKernelFeature, Err: err, Mend: "sudo modprobe dummy, or use --kernel uml"}
	}
	return err
}

// DeleteLink removes an interface.
func (n *Namespace) DeleteLink(name string) error {
	l, err := n.link(name)
	if err != nil {
		return err
	}
	return n.links.LinkDel(l)
}

// AddAddress binds an address to an interface, without duplicate address detection. An address that is already there is no error.
func (n *Namespace) AddAddress(name string, p netip.Prefix) error {
	l, err := n.link(name)
	if err != nil {
		return err
	}
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	if err := n.links.AddrAdd(l, a); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("address %s on %s in %s: %w", p, name, n.Name, err)
	}
	return nil
}

// AddAddresses does what AddAddress does, for many addresses with few system calls. failed is the one that the error is about.
func (n *Namespace) AddAddresses(name string, list []netip.Prefix) (failed int, err error) {
	l, err := n.link(name)
	if err != nil {
		return 0, err
	}
	b, err := n.openBulk(unix.NETLINK_ROUTE)
	if err != nil {
		return 0, err
	}
	defer b.close()
	failed, err = b.run(len(list), func(i int) request {
		p, flags := list[i], uint32(0)
		if p.Addr().Is6() {
			flags = unix.IFA_F_NODAD
		}
		body := attributes{byte(familyOf(p.Addr())), byte(p.Bits()), byte(flags), 0} // struct ifaddrmsg
		body = binary.NativeEndian.AppendUint32(body, uint32(l.Attrs().Index))
		body = body.add(unix.IFA_LOCAL, p.Addr().AsSlice()).add(unix.IFA_ADDRESS, p.Addr().AsSlice())
		return request{unix.RTM_NEWADDR, unix.NLM_F_CREATE | unix.NLM_F_EXCL, body}
	}, func(no unix.Errno) bool { return no == unix.EEXIST })
	if err != nil {
		return failed, fmt.Errorf("address %s on %s in %s: %w", list[failed], name, n.Name, err)
	}
	return failed, nil
}

// DeleteAddress takes an address from an interface.
func (n *Namespace) DeleteAddress(name string, p netip.Prefix) error {
	l, err := n.link(name)
	if err != nil {
		return err
	}
	if err := n.links.AddrDel(l, &netlink.Addr{IPNet: ipNet(p)}); err != nil {
		return fmt.Errorf("address %s on %s in %s: %w", p, name, n.Name, err)
	}
	return nil
}

// SetNeighbor enters the hardware address of a next hop for good.
func (n *Namespace) SetNeighbor(name string, a netip.Addr, mac net.HardwareAddr) error {
	l, err := n.link(name)
	if err != nil {
		return err
	}
	return n.links.NeighSet(&netlink.Neigh{
		LinkIndex: l.Attrs().Index, Family: familyOf(a), State: netlink.NUD_PERMANENT, IP: a.AsSlice(), HardwareAddr: mac,
	})
}

// Route tables of a namespace.
const (
	MainTable  = unix.RT_TABLE_MAIN
	LocalTable = unix.RT_TABLE_LOCAL
)

// SetRoute sends a prefix to a next hop on an interface, which need not be in a connected prefix.
func (n *Namespace) SetRoute(table int, dst netip.Prefix, via netip.Addr, name string) error {
	l, err := n.link(name)
	if err != nil {
		return err
	}
	err = n.links.RouteReplace(&netlink.Route{
		Table: table, Dst: ipNet(dst), Gw: via.AsSlice(), LinkIndex: l.Attrs().Index, Flags: int(netlink.FLAG_ONLINK),
	})
	if err != nil {
		return fmt.Errorf("route to %s by %s in %s: %w", dst, name, n.Name, err)
	}
	return nil
}

// Blackhole drops what arrives and is not for the namespace, without a word.
func (n *Namespace) Blackhole(dst netip.Prefix) error {
	if err := n.links.RouteReplace(&netlink.Route{Table: MainTable, Dst: ipNet(dst), Type: unix.RTN_BLACKHOLE}); err != nil {
		return fmt.Errorf("blackhole %s in %s: %w", dst, n.Name, err)
	}
	return nil
}

// WaitLocal waits until an address of the namespace takes packets: the kernel enters the route of an IPv6 address by a worker
// of its own (net/ipv6/addrconf.c, addrconf_dad_work). It asks the main rules, so it is of no use after SendAllTo.
func (n *Namespace) WaitLocal(a netip.Addr) error {
	for deadline := time.Now().Add(upTimeout); ; time.Sleep(time.Millisecond) {
		r, err := n.links.RouteGet(a.AsSlice())
		if err == nil && len(r) > 0 && r[0].Type == unix.RTN_LOCAL {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("address %s of %s takes no packets after %s", a, n.Name, upTimeout)
		}
	}
}

// AddLocal makes an address local to the namespace: packets to it are delivered here and sockets may be bound to it. A route
// does that at once; an IPv6 address is bound to lo as well, since ICMPv6 errors take no other for their source.
func (n *Namespace) AddLocal(a netip.Addr) error {
	host := netip.PrefixFrom(a, a.BitLen())
	if a.Is6() {
		if err := n.AddAddress("lo", host); err != nil {
			return err
		}
	}
	if err := n.links.RouteReplace(localRoute(host)); err != nil {
		return fmt.Errorf("local %s in %s: %w", a, n.Name, err)
	}
	return nil
}

// DeleteLocal undoes AddLocal. An address that is not there is no error.
func (n *Namespace) DeleteLocal(a netip.Addr) error {
	host := netip.PrefixFrom(a, a.BitLen())
	if a.Is6() {
		if err := n.DeleteAddress("lo", host); err != nil {
			return err
		}
	}
	if err := n.links.RouteDel(localRoute(host)); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("local %s in %s: %w", a, n.Name, err)
	}
	return nil
}

func localRoute(p netip.Prefix) *netlink.Route {
	const loopback = 1 // index of lo in every namespace (include/net/flow.h, LOOPBACK_IFINDEX)
	r := &netlink.Route{Table: LocalTable, Dst: ipNet(p), Type: unix.RTN_LOCAL, LinkIndex: loopback}
	if p.Addr().Is4() {
		r.Scope = netlink.SCOPE_HOST
	}
	return r
}

// SendAllTo makes every packet that a socket of the namespace sends leave by a table, even to an address that is local
// here; packets that arrive are still delivered by the local table.
func (n *Namespace) SendAllTo(table int) error {
	for _, f := range []int{unix.AF_INET, unix.AF_INET6} {
		sent := netlink.NewRule()
		sent.Family, sent.Priority, sent.IifName, sent.Table = f, 10, "lo", table
		arrived := netlink.NewRule()
		arrived.Family, arrived.Priority, arrived.Table = f, 20, LocalTable
		first := netlink.NewRule()
		first.Family, first.Priority, first.Table = f, 0, LocalTable
		if err := errors.Join(n.links.RuleAdd(sent), n.links.RuleAdd(arrived), n.links.RuleDel(first)); err != nil {
			return fmt.Errorf("routing rules in %s: %w", n.Name, err)
		}
	}
	return nil
}

// DropSelf drops what arrives by an interface from an address to the same address, as a host does that has the address to
// itself: the source is its own, so it cannot have come from elsewhere (net/ipv4/fib_frontend.c, fib_validate_source). Once
// for an address is enough.
func (n *Namespace) DropSelf(name string, a netip.Addr) error {
	r := netlink.NewRule()
	r.Family, r.Priority, r.IifName, r.Type = familyOf(a), 5, name, unix.RTN_BLACKHOLE
	r.Src = ipNet(netip.PrefixFrom(a, a.BitLen()))
	r.Dst = r.Src
	if err := n.links.RuleAdd(r); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("rule about %s in %s: %w", a, n.Name, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
