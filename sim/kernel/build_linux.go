package kernel

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/svclab/svclab/sim/box"
)

// ipv4Settings go into every namespace before it has interfaces. What is optional is missing on some kernels and changes no result.
var ipv4Settings = []box.Setting{
	{Key: "net.ipv4.conf.all.rp_filter", Value: "0"},
	{Key: "net.ipv4.conf.default.rp_filter", Value: "0"},
	{Key: "net.ipv4.conf.all.send_redirects", Value: "0"},
	{Key: "net.ipv4.conf.default.send_redirects", Value: "0"},
	{Key: "net.ipv4.tcp_no_metrics_save", Value: "1", Optional: true},
	{Key: "net.ipv4.icmp_ratelimit", Value: "0"},
	{Key: "net.ipv4.icmp_msgs_per_sec", Value: "1000000", Optional: true},
	{Key: "net.ipv4.icmp_msgs_burst", Value: "100000", Optional: true},
}

// ipv6Settings keep interfaces from announcing and asking anything by themselves.
var ipv6Settings = []box.Setting{
	{Key: "net.ipv6.conf.all.disable_ipv6", Value: "0"},
	{Key: "net.ipv6.conf.default.disable_ipv6", Value: "0"},
	{Key: "net.ipv6.conf.all.accept_dad", Value: "0"},
	{Key: "net.ipv6.conf.default.accept_dad", Value: "0"},
	{Key: "net.ipv6.conf.default.dad_transmits", Value: "0"},
	{Key: "net.ipv6.conf.default.addr_gen_mode", Value: "1"},
	{Key: "net.ipv6.conf.default.accept_ra", Value: "0", Optional: true},
	{Key: "net.ipv6.conf.default.router_solicitations", Value: "0", Optional: true},
	{Key: "net.ipv6.icmp.ratelimit", Value: "0"},
}

// nodeIPv4 and nodeIPv6 make the node a router, once it has its links.
var (
	nodeIPv4 = []box.Setting{
		{Key: "net.ipv4.ip_forward", Value: "1"},
	}
	nodeIPv6 = []box.Setting{
		{Key: "net.ipv6.conf.all.forwarding", Value: "1"},
		{Key: "net.ipv6.conf.default.forwarding", Value: "1"},
	}
	farIPv4 = []box.Setting{
		{Key: "net.ipv4.conf.all.accept_local", Value: "1"},
		{Key: "net.ipv4.conf.default.accept_local", Value: "1"},
	}
)

// farTable holds the one route of what is sent from outside or from the pods.
const farTable = 100

// link is one of the two links of the node.
type link struct {
	node        string // interface on the node
	far         *box.Namespace
	mac, farMAC net.HardwareAddr
	// hop and farHop are next hops that no interface holds: their neighbour entries are all there is of them.
	hop, farHop [2]netip.Addr
}

// build makes the namespaces and links. The box is thrown away when it fails.
func (a *agent) build() error {
	ipv6 := true
	if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
		ipv6 = false
		if err := a.needIPv6(err); err != nil {
			return err
		}
	}
	var err error
	if a.node, err = a.in.NewNamespace("node"); err != nil {
		return err
	}
	if a.outside, err = a.in.NewNamespace("outside"); err != nil {
		return err
	}
	if a.pods, err = a.in.NewNamespace("pods"); err != nil {
		return err
	}
	for _, n := range []*box.Namespace{a.node, a.outside, a.pods} {
		if err := prepare(n, n == a.node, ipv6); err != nil {
			return err
		}
	}
	outer := link{node: "eth0", far: a.outside, mac: mac(0, 1), farMAC: mac(0, 2), hop: hops(0, 1), farHop: hops(0, 2)}
	inner := link{node: a.top.podInterface(), far: a.pods, mac: mac(1, 1), farMAC: mac(1, 2), hop: hops(1, 1), farHop: hops(1, 2)}
	for _, l := range []link{outer, inner} {
		if err := a.join(l, ipv6); err != nil {
			return err
		}
	}
	router := nodeIPv4
	if ipv6 {
		router = append(router[:len(router):len(router)], nodeIPv6...)
	}
	if err := a.node.SetSysctls(router...); err != nil {
		return err
	}
	for s := range a.responders {
		if a.responders[s] != nil { // they serve any namespace
			continue
		}
		if s > 0 && a.in.UML { // one processor: one thread answers for all
			a.responders[s] = a.responders[0]
		} else if a.responders[s], err = box.NewResponder(acceptedHold); err != nil {
			return err
		}
	}
	for _, addr := range a.top.NodeAddrs {
		if err := errors.Join(a.node.AddAddress("eth0", netip.PrefixFrom(addr, addr.BitLen())), a.node.WaitLocal(addr)); err != nil {
			return err
		}
	}
	for _, p := range a.top.LocalPods {
		if err := a.node.SetRoute(box.MainTable, p.Masked(), inner.farHop[familyIndex(p.Addr())], inner.node); err != nil {
			return err
		}
	}
	for f, p := range anywhere {
		if f == 1 && !ipv6 {
			continue
		}
		if err := a.node.SetRoute(box.MainTable, p, outer.farHop[f], outer.node); err != nil {
			return err
		}
	}
	return nil
}

// anywhere are the default routes of both families, in the order of familyIndex.
var anywhere = [2]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}

func familyIndex(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

func mac(link, end byte) net.HardwareAddr { return net.HardwareAddr{0x02, 0x5c, 0x1a, 0xb0, link, end} }

func hops(link, end byte) [2]netip.Addr {
	v6 := [16]byte{0xfe, 0x80, 14: link + 1, 15: end}
	return [2]netip.Addr{netip.AddrFrom4([4]byte{169, 254, 200 + link, end}), netip.AddrFrom16(v6)}
}

// needIPv6 answers whether the topology can be built without IPv6.
func (a *agent) needIPv6(cause error) error {
	need := &box.MissingError{What: "IPv6", Reason: box.NoKernelFeature, Err: cause, Mend: "boot the kernel without ipv6.disable=1"}
	for _, addr := range a.top.NodeAddrs {
		if addr.Is6() {
			return need
		}
	}
	for _, b := range a.top.Backends {
		if b.Addr.Addr().Is6() {
			return need
		}
	}
	return nil
}

func prepare(n *box.Namespace, isNode, ipv6 bool) error {
	list := append([]box.Setting(nil), ipv4Settings...)
	if !isNode {
		list = append(list, farIPv4...)
	}
	if ipv6 {
		list = append(list, ipv6Settings...)
	}
	if err := n.SetSysctls(list...); err != nil {
		return err
	}
	if err := n.Up("lo"); err != nil {
		return fmt.Errorf("lo in %s: %w", n.Name, err)
	}
	if isNode {
		return nil
	}
	return n.SendAllTo(farTable)
}

func (a *agent) join(l link, ipv6 bool) error {
	if err := box.Veth(a.node, l.node, l.mac, l.far, "eth0", l.farMAC); err != nil {
		return err
	}
	err := errors.Join(a.node.Up(l.node), l.far.Up("eth0"))
	for f := range l.hop {
		if f == 1 && !ipv6 {
			break
		}
		err = errors.Join(err,
			a.node.SetNeighbor(l.node, l.farHop[f], l.farMAC),
			l.far.SetNeighbor("eth0", l.hop[f], l.mac),
			l.far.SetRoute(farTable, anywhere[f], l.hop[f], "eth0"),
			l.far.Blackhole(anywhere[f]),
		)
	}
	return errors.Join(err, a.node.WaitUp(l.node), l.far.WaitUp("eth0"))
}
