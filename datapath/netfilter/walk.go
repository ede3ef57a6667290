package netfilter

import (
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath/conntrack"
	"github.com/svclab/svclab/datapath/journal"
	"github.com/svclab/svclab/datapath/packet"
)

// Walk is the context of one packet on its way through a node: where it is, what is known of it, and where chance,
// answers and notes come from and go to. A node keeps one Walk and reuses it for every packet.
type Walk struct {
	Now  time.Duration // virtual time since the node started
	Hook Hook
	In   string // interface it came in by; "" at OUTPUT and after it for local packets
	Out  string // interface it will leave by; "" before routing

	// Conn is the packet's connection, nil while untracked; Info says how the packet stands to it.
	Conn *conntrack.Conn
	Info conntrack.Info

	NoTrack   bool      // a rule in table raw said so: connection tracking leaves the packet alone
	Rejection Rejection // how the sender is told, when the verdict is Reject
	Work      Work      // effort so far
	// Unmodelled is the first thing the walk would have needed and that is not modelled. The verdict is Drop then, and says
	// nothing about a kernel.
	Unmodelled error

	Source Source      // chance; never nil
	Route  AddressType // answers what kind of address one is; never nil
	Sets   SetLookup   // answers "-m set"; nil when the node has no sets
	IPVS   IPVSView    // answers "-m ipvs"; nil when the node has no IPVS

	// Trace, when not nil, receives every step.
	Trace *Trace
	// Journal, when not nil, receives the inverse of every change of state, so that the walk can be undone.
	Journal *journal.Journal
}

// Chance decides one draw with probability p31/2^31 (net/netfilter/xt_statistic.c, statistic_mt).
func (w *Walk) Chance(p31 uint32) bool {
	w.Work.Draws++
	return w.Source.Chance(p31)
}

// Intn decides one uniform draw from 0..n-1.
func (w *Walk) Intn(n int) int {
	w.Work.Draws++
	return w.Source.Intn(n)
}

// Ports is where NAT targets draw source ports from.
func (w *Walk) Ports() Ports { return Ports{w} }

// Work counts what a walk did, as the price of a packet depends on it.
type Work struct {
	Rules   int // rules whose conditions were tried, in all tables and hooks
	Draws   int // random draws
	Lookups int // hash lookups: connection tracking, sets, IPVS services and connections
}

// AddressType answers questions that the kernel puts to its routing tables.
type AddressType interface {
	// AddrType is the routing type of an address at this moment (include/uapi/linux/rtnetlink.h, RTN_*);
	// iface, when not empty, limits the answer to addresses of that interface.
	AddrType(a netip.Addr, iface string) AddrType
	// OutputInterface is the interface by which packets for an address leave, "" without a route.
	OutputInterface(a netip.Addr) string
	// SourceAddress is the primary address of an interface towards a next hop: what MASQUERADE uses.
	// It is invalid when the interface has none of that family.
	SourceAddress(iface string, to netip.Addr) netip.Addr
}

// AddrType is a routing type.
type AddrType uint8

// The routing types that rules can ask for. The zero value means no route.
const (
	Unspecified AddrType = iota
	Unicast
	Local
	BroadcastType
	Anycast
	MulticastType
	Blackhole
	Unreachable
	Prohibit
)

// Dimension is one part of a set entry taken from a packet.
type Dimension struct {
	Source bool // of the source, else of the destination
}

// SetLookup answers whether a packet is in a named set, as -m set does.
type SetLookup interface {
	// Contains tests a packet against a set by the given directions. A set that does not exist contains nothing;
	// loading a rule that names one is an error long before.
	Contains(w *Walk, set string, dims []Dimension, p *packet.Packet) bool
}

// Rejection is the answer that a rejected packet's sender gets. The zero value means no answer.
type Rejection struct {
	With string // name as --reject-with spells it: icmp-port-unreachable, tcp-reset, icmp6-adm-prohibited, ...
}
