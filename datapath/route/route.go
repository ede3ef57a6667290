// Package route models a node's interfaces, addresses and routes, as far as the service datapath asks about them: is an
// address local, by which interface does a packet leave, which source does MASQUERADE take.
//
// Left out: policy routing by mark, metrics, multipath, neighbours. An address added or removed takes effect at once.
package route

import (
	"net/netip"
	"slices"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// Interface is one network interface with its addresses in the order they were added; the first of a family is primary.
type Interface struct {
	Name      string
	Addresses []netip.Prefix
	Loopback  bool
	NoARP     bool // a dummy interface: addresses only, packets never leave by it
}

// Table is a node's interfaces and routes. It implements netfilter.AddressType.
type Table struct {
	interfaces []Interface
	routes     []Route // longest prefix first
	local      map[netip.Addr]int
	// maybe is a filter before local: an address whose bit is clear is not in it. Bits are not cleared one by one.
	maybe [16]uint64
}

// Route sends a prefix out by an interface.
type Route struct {
	Prefix    netip.Prefix
	Interface string
	Type      netfilter.AddrType // Unicast unless it is a blackhole, unreachable or prohibit route
}

// New returns a table with the loopback interface alone: 127.0.0.1/8 and ::1/128 on lo.
func New() *Table {
	t := &Table{local: map[netip.Addr]int{}}
	t.AddInterface(Interface{Name: "lo", Loopback: true})
	t.AddAddress("lo", netip.MustParsePrefix("127.0.0.1/8"))
	t.AddAddress("lo", netip.MustParsePrefix("::1/128"))
	return t
}

// Clone returns an independent copy.
func (t *Table) Clone() *Table {
	c := &Table{routes: slices.Clone(t.routes), local: make(map[netip.Addr]int, len(t.local))}
	for _, i := range t.interfaces {
		i.Addresses = slices.Clone(i.Addresses)
		c.interfaces = append(c.interfaces, i)
	}
	for a, n := range t.local {
		c.local[a] = n
		c.note(a)
	}
	return c
}

// AddInterface adds an interface; one that exists already stays as it is.
func (t *Table) AddInterface(i Interface) {
	if t.find(i.Name) < 0 {
		t.interfaces = append(t.interfaces, Interface{Name: i.Name, Loopback: i.Loopback, NoARP: i.NoARP})
		for _, a := range i.Addresses {
			t.AddAddress(i.Name, a)
		}
	}
}

// HasInterface reports whether there is an interface of a name.
func (t *Table) HasInterface(name string) bool { return t.find(name) >= 0 }

// DeleteInterface removes an interface with its addresses and routes. It reports whether there was one.
func (t *Table) DeleteInterface(name string) bool {
	i := t.find(name)
	if i < 0 {
		return false
	}
	for _, a := range t.interfaces[i].Addresses {
		t.forget(a.Addr())
	}
	t.interfaces = slices.Delete(t.interfaces, i, i+1)
	t.routes = slices.DeleteFunc(t.routes, func(r Route) bool { return r.Interface == name })
	return true
}

// AddAddress binds an address to an interface and makes the connected route of its prefix. It reports whether anything changed.
func (t *Table) AddAddress(iface string, p netip.Prefix) bool {
	i := t.find(iface)
	if i < 0 || slices.Contains(t.interfaces[i].Addresses, p) {
		return false
	}
	t.interfaces[i].Addresses = append(t.interfaces[i].Addresses, p)
	t.local[p.Addr()]++
	t.note(p.Addr())
	if !p.IsSingleIP() && !t.interfaces[i].Loopback && !t.interfaces[i].NoARP {
		t.AddRoute(Route{Prefix: p.Masked(), Interface: iface})
	}
	return true
}

// DeleteAddress takes an address from an interface. It reports whether it was there.
func (t *Table) DeleteAddress(iface string, p netip.Prefix) bool {
	i := t.find(iface)
	if i < 0 {
		return false
	}
	k := slices.Index(t.interfaces[i].Addresses, p)
	if k < 0 {
		return false
	}
	t.interfaces[i].Addresses = slices.Delete(t.interfaces[i].Addresses, k, k+1)
	t.forget(p.Addr())
	return true
}

func (t *Table) forget(a netip.Addr) {
	if t.local[a]--; t.local[a] <= 0 {
		delete(t.local, a)
	}
}

// AddRoute adds a route; among equal prefixes the earlier one wins.
func (t *Table) AddRoute(r Route) {
	if r.Type == netfilter.Unspecified {
		r.Type = netfilter.Unicast
	}
	i, _ := slices.BinarySearchFunc(t.routes, r, func(a, b Route) int {
		if a.Prefix.Bits() >= b.Prefix.Bits() {
			return -1
		}
		return 1
	})
	t.routes = slices.Insert(t.routes, i, r)
}

// Interfaces returns the interfaces in the order they were added. The caller must not change them.
func (t *Table) Interfaces() []Interface { return t.interfaces }

// Addresses returns every address of the node outside loopback, in order of interfaces.
func (t *Table) Addresses(f packet.Family) []netip.Addr {
	var out []netip.Addr
	for _, i := range t.interfaces {
		if i.Loopback {
			continue
		}
		for _, a := range i.Addresses {
			if packet.FamilyOf(a.Addr()) == f {
				out = append(out, a.Addr())
			}
		}
	}
	return out
}

// IsLocal reports whether packets for an address are delivered to the node itself.
func (t *Table) IsLocal(a netip.Addr) bool {
	bit := filterBit(a)
	return t.maybe[bit>>6]>>(bit&63)&1 == 1 && t.local[a] > 0 || (a.Is4() && a.IsLoopback())
}

func (t *Table) note(a netip.Addr) {
	bit := filterBit(a)
	t.maybe[bit>>6] |= 1 << (bit & 63)
}

// filterBit is an address's bit among the 1024 of maybe, from its last two bytes, in which addresses of a node differ.
func filterBit(a netip.Addr) uint {
	b := a.As16()
	return uint(b[15]) | uint(b[14]&3)<<8
}

// Lookup is the routing decision for a destination: delivered here, or sent out by an interface. With neither, there is no
// route, and typ says whether one forbids it.
func (t *Table) Lookup(dst netip.Addr) (out string, local bool, typ netfilter.AddrType) {
	if t.IsLocal(dst) {
		return "lo", true, netfilter.Local
	}
	if dst.IsMulticast() {
		return "", true, netfilter.MulticastType
	}
	if r, ok := t.match(dst); ok {
		return r.Interface, false, r.Type
	}
	return "", false, netfilter.Unspecified
}

func (t *Table) match(dst netip.Addr) (Route, bool) {
	for _, r := range t.routes {
		if r.Prefix.Contains(dst) {
			return r, true
		}
	}
	return Route{}, false
}

var limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// AddrType is the routing type of an address (net/ipv4/fib_frontend.c, inet_addr_type_dev_table). With iface, local and
// broadcast addresses count only when they are that interface's.
func (t *Table) AddrType(a netip.Addr, iface string) netfilter.AddrType {
	switch {
	case a == limitedBroadcast || (a.Is4() && a.IsUnspecified()):
		return netfilter.BroadcastType
	case a.IsMulticast():
		return netfilter.MulticastType
	}
	if t.IsLocal(a) {
		if iface == "" || t.has(iface, a) {
			return netfilter.Local
		}
		return netfilter.Unicast
	}
	if t.isBroadcast(a, iface) {
		return netfilter.BroadcastType
	}
	if r, ok := t.match(a); ok {
		return r.Type
	}
	return netfilter.Unicast // inet_addr_type: what no table knows is unicast
}

func (t *Table) has(iface string, a netip.Addr) bool {
	i := t.find(iface)
	if i < 0 {
		return false
	}
	if t.interfaces[i].Loopback && a.Is4() && a.IsLoopback() {
		return true
	}
	return slices.ContainsFunc(t.interfaces[i].Addresses, func(p netip.Prefix) bool { return p.Addr() == a })
}

// isBroadcast reports whether a is the last address of an IPv4 subnet that the node is connected to.
func (t *Table) isBroadcast(a netip.Addr, iface string) bool {
	if !a.Is4() {
		return false
	}
	for _, i := range t.interfaces {
		if i.Loopback || (iface != "" && i.Name != iface) {
			continue
		}
		for _, p := range i.Addresses {
			if p.Addr().Is4() && p.Bits() < 31 && p.Contains(a) && a == lastOf(p) {
				return true
			}
		}
	}
	return false
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

// OutputInterface is the interface by which packets for an address leave; "" without a route.
func (t *Table) OutputInterface(a netip.Addr) string {
	out, _, _ := t.Lookup(a)
	return out
}

// SourceAddress is the address that MASQUERADE takes: the first of the interface whose subnet holds the next hop, else its
// first, else the first of any other interface (net/ipv4/devinet.c, inet_select_addr; loopback's own are never taken).
func (t *Table) SourceAddress(iface string, to netip.Addr) netip.Addr {
	var first netip.Addr
	if i := t.find(iface); i >= 0 && !t.interfaces[i].Loopback {
		for _, p := range t.interfaces[i].Addresses {
			if p.Addr().Is4() != to.Is4() || p.Addr().IsLinkLocalUnicast() {
				continue
			}
			if p.Contains(to) {
				return p.Addr()
			}
			if !first.IsValid() {
				first = p.Addr()
			}
		}
	}
	if first.IsValid() {
		return first
	}
	for _, i := range t.interfaces {
		if i.Loopback || i.NoARP {
			continue
		}
		for _, p := range i.Addresses {
			if p.Addr().Is4() == to.Is4() && !p.Addr().IsLinkLocalUnicast() {
				return p.Addr()
			}
		}
	}
	return netip.Addr{}
}

func (t *Table) find(name string) int {
	return slices.IndexFunc(t.interfaces, func(i Interface) bool { return i.Name == name })
}
