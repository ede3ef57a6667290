package netstack

import (
	"fmt"
	"math"
	"math/rand"
	"net/netip"
	"slices"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/seed"
)

// Host is one stack with one interface: a Pod, a machine outside, or a node as the owner of its own addresses.
type Host struct {
	f     *Fabric
	name  string
	addrs []netip.Addr
	node  *Node // where its packets go; nil for a machine outside
	own   bool  // it is that node itself: its packets start at OUTPUT
	off   bool
	gone  bool
	port  *Port // raw packets instead of a stack

	link     Link
	up, down pipe

	stack *stack.Stack
	tcp   stack.TransportProtocol
	wire  endpoint
	dirty bool // its TCP got packets since the last barrier

	messages   map[listenKey]*messageListener
	strays     map[int64]bool      // flows whose next segment is followed by a stray one
	paths      map[netip.Addr]pmtu // what is known of the ways to others
	fragmentID uint32

	tap       func(*item) bool // sees what the stack gets, of tests
	ephemeral uint16
	listeners map[listenKey]*listener
}

// What gVisor would write to its log is in its counters.
func init() { log.SetTarget(&log.MultiEmitter{}) }

// theNIC is the number of every stack's only interface.
const theNIC tcpip.NICID = 1

// AddHost attaches a host: a Pod of the node, or with nil a machine outside. The link may be nil, for Options.Link. An address
// that another host has moves to the new one.
func (f *Fabric) AddHost(at *Node, l *Link, addrs ...netip.Addr) *Host {
	if l == nil {
		l = &f.o.Link
	}
	h := f.newHost(*l, addrs)
	h.node = at
	h.start()
	return h
}

func (f *Fabric) newHost(l Link, addrs []netip.Addr) *Host {
	h := &Host{f: f, link: l, addrs: addrs}
	f.made++
	h.name = fmt.Sprintf("host %d", f.made)
	if len(addrs) > 0 {
		h.name = addrs[0].String()
	}
	h.up = newPipe(&h.link, f.o.Root.Stream("link "+h.name+" up"))
	h.down = newPipe(&h.link, f.o.Root.Stream("link "+h.name+" down"))
	f.hosts = append(f.hosts, h)
	for _, a := range addrs {
		f.at[a] = h
	}
	return h
}

// HostOf returns the host that has an address, a node's own host for a node's address; nil if there is none.
func (f *Fabric) HostOf(a netip.Addr) *Host { return f.at[a] }

// Addresses are those the host was given.
func (h *Host) Addresses() []netip.Addr { return h.addrs }

// Node is the node that the host hangs on, or is; nil for a machine outside.
func (h *Host) Node() *Node { return h.node }

// Off cuts the power: packets to and from the host vanish, those on their way included. Its sockets stay as they are.
func (h *Host) Off() { h.off = true }

// On gives the power back.
func (h *Host) On() { h.off = false }

// random is a stack's source of randomness. gVisor reads it from several goroutines.
type random struct {
	mu sync.Mutex
	s  *seed.Stream
}

func (r *random) Read(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.s.Read(b)
}

// Int63, Uint64 and Seed make it a math/rand.Source64, which is what gVisor asks for; it never seeds.
func (r *random) Int63() int64 { return int64(r.Uint64() >> 1) }

func (r *random) Uint64() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.s.Uint64()
}

func (r *random) Seed(int64) {}

var _ rand.Source64 = (*random)(nil)

// start makes the host's stack. gVisor's own iptables and conntrack stay empty: the datapath is the node's.
func (h *Host) start() {
	f := h.f
	o := stack.Options{
		NetworkProtocols: []stack.NetworkProtocolFactory{
			ipv4.NewProtocolWithOptions(ipv4.Options{AllowExternalLoopbackTraffic: true}),
			ipv6.NewProtocolWithOptions(ipv6.Options{AllowExternalLoopbackTraffic: true}),
		},
		TransportProtocols: []stack.TransportProtocolFactory{
			tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6,
		},
		RandSource: &random{s: f.o.Root.Stream("stack " + h.name)},
		SecureRNG:  &random{s: f.o.Root.Stream("stack " + h.name + " secure")},
	}
	if !f.o.Live {
		o.Clock = &f.clock
	}
	h.stack = stack.New(o)
	h.tcp = h.stack.TransportProtocolInstance(tcp.ProtocolNumber)
	if !f.o.Live {
		h.tcp.Pause()
	}
	h.wire.host = h
	must(h.stack.CreateNIC(theNIC, &h.wire))
	for _, a := range h.addrs {
		h.addAddress(a)
	}
	h.stack.SetRouteTable([]tcpip.Route{
		{Destination: header.IPv4EmptySubnet, NIC: theNIC},
		{Destination: header.IPv6EmptySubnet, NIC: theNIC},
	})
	// Linux limits ICMP errors for each receiver, gVisor for the whole stack: without a limit no error is lost that Linux sends.
	h.stack.SetICMPLimit(math.MaxFloat64)
	wait := tcpip.TCPTimeWaitTimeoutOption(60 * time.Second)
	if f.o.TimeWait > 0 {
		wait = tcpip.TCPTimeWaitTimeoutOption(f.o.TimeWait)
	}
	must(h.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &wait))
	h.ephemeral = firstEphemeral + uint16(f.o.Root.Stream("ports "+h.name).Intn(ephemerals))
}

func must(err tcpip.Error) {
	if err != nil {
		panic("netstack: a stack refuses its own set-up: " + err.String())
	}
}

// addAddress gives the stack an address, once; what is none is left out.
func (h *Host) addAddress(a netip.Addr) {
	if !a.IsValid() {
		return
	}
	proto := ipv4.ProtocolNumber
	if !a.Is4() {
		proto = ipv6.ProtocolNumber
	}
	err := h.stack.AddProtocolAddress(theNIC, tcpip.ProtocolAddress{
		Protocol: proto, AddressWithPrefix: toAddress(a).WithPrefix(),
	}, stack.AddressProperties{})
	if _, twice := err.(*tcpip.ErrDuplicateAddress); !twice {
		must(err)
	}
}

func (h *Host) close() {
	if h.gone {
		return
	}
	h.gone = true
	if h.stack != nil {
		if !h.f.o.Live {
			h.tcp.Resume()
		}
		h.stack.Destroy()
	}
	if h.port != nil {
		_ = h.port.Close()
	}
}

// Remove takes the host out of the Fabric. Its connections vanish without a word, its addresses become nobody's.
func (h *Host) Remove() {
	for _, a := range h.addrs {
		if h.f.at[a] == h {
			delete(h.f.at, a)
		}
	}
	if h.gone {
		return
	}
	h.close()
	h.f.stats.Stacks.count(h)
	h.f.hosts = slices.DeleteFunc(h.f.hosts, func(x *Host) bool { return x == h })
}

// setAddresses gives the stack other addresses; sockets bound to those that go lose them.
func (h *Host) setAddresses(addrs []netip.Addr) {
	for _, a := range h.addrs {
		if a.IsValid() && !slices.Contains(addrs, a) {
			_ = h.stack.RemoveAddress(theNIC, toAddress(a)) // gone already, if it was there twice
		}
	}
	for _, a := range addrs {
		if !slices.Contains(h.addrs, a) {
			h.addAddress(a)
		}
	}
	h.addrs = slices.Clone(addrs)
}

// The range of ports that Linux picks from for sockets that do not say (net.ipv4.ip_local_port_range).
const (
	firstEphemeral = 32768
	ephemerals     = 60999 - firstEphemeral + 1
)

// nextPort is the next port to try for a socket that does not say: one after the other from a place that the seed gives.
func (h *Host) nextPort() uint16 {
	p := h.ephemeral
	if h.ephemeral++; h.ephemeral >= firstEphemeral+ephemerals {
		h.ephemeral = firstEphemeral
	}
	return p
}

func toAddress(a netip.Addr) tcpip.Address {
	switch {
	case a.Is4():
		return tcpip.AddrFrom4(a.As4())
	case a.Is6():
		return tcpip.AddrFrom16(a.As16())
	}
	return tcpip.Address{}
}

func fromAddress(a tcpip.Address) netip.Addr {
	r, _ := netip.AddrFromSlice(a.AsSlice())
	return r
}

func toFull(a netip.AddrPort) tcpip.FullAddress {
	if !a.Addr().IsValid() || a.Addr().IsUnspecified() {
		return tcpip.FullAddress{Port: a.Port()}
	}
	return tcpip.FullAddress{NIC: theNIC, Addr: toAddress(a.Addr()), Port: a.Port()}
}

func fromFull(a tcpip.FullAddress) netip.AddrPort {
	return netip.AddrPortFrom(fromAddress(a.Addr), a.Port)
}

func networkOf(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

func transportOf(p packet.Protocol) (tcpip.TransportProtocolNumber, error) {
	switch p {
	case packet.TCP:
		return tcp.ProtocolNumber, nil
	case packet.UDP:
		return udp.ProtocolNumber, nil
	}
	return 0, &UnsupportedError{What: p.String()}
}
