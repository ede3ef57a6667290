package netstack

import (
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/replay"
)

// Node is a modelled node in the Fabric: a datapath.Node that every packet by way of it walks, and the stack of its own
// addresses, which host-network Pods share.
type Node struct {
	f    *Fabric
	host replay.Host
	dp   *datapath.Node
	own  *Host

	p, was packet.Packet // the packet being walked, and as it came
	fate   datapath.Disposition
	next   *item // what is walked together with it; nil for nothing
	pair   pair  // and what became of that
	lay    layout
	pkt    *stack.PacketBuffer
	said   *stack.PacketBuffer // the node's answer to it
	frags  defrag

	fragmentID uint32
	advanced   time.Duration // to when its timers have run
}

// AddNode adds a modelled node with the addresses of its host. A nil datapath.Node passes everything on untouched: what the
// stacks do without a model. The datapath.Node's source of chance must be set before the first packet.
func (f *Fabric) AddNode(h replay.Host, dp *datapath.Node) *Node {
	if h.PodInterface == "" {
		h.PodInterface = "pod0" // as replay.NewHost has it: a packet that comes in by none is the node's own
	}
	n := &Node{f: f, host: h, dp: dp}
	n.own = f.newHost(Link{}, h.NodeIPs)
	n.own.node, n.own.own = n, true
	if h.Name != "" {
		n.own.name = h.Name
	}
	n.own.start()
	// Whatever the model delivers is the node's: addresses that IPVS binds and all of 127.0.0.0/8 with the rest.
	must(n.own.stack.SetPromiscuousMode(theNIC, true))
	must(n.own.stack.SetSpoofing(theNIC, true))
	n.frags.n = n
	n.fragmentID = uint32(f.o.Root.Stream("fragments " + n.own.name).Uint64())
	f.nodes = append(f.nodes, n)
	return n
}

// Host is the node as the host of its own addresses: for host-network Pods and the node's own connections.
func (n *Node) Host() *Host { return n.own }

// Datapath is the model.
func (n *Node) Datapath() *datapath.Node { return n.dp }

// Name is the node's name.
func (n *Node) Name() string { return n.host.Name }

// SetAddresses replaces the addresses by which other hosts and nodes find the node.
func (n *Node) SetAddresses(addrs ...netip.Addr) {
	for _, a := range n.own.addrs {
		if n.f.at[a] == n.own {
			delete(n.f.at, a)
		}
	}
	for _, a := range addrs {
		n.f.at[a] = n.own
	}
	n.own.setAddresses(addrs)
	n.host.NodeIPs = addrs
}

// SetLink gives the node's uplink, by which it reaches other modelled nodes, a length and a width; it has none at first. The
// way between two nodes is both their uplinks; machines outside have links of their own.
func (n *Node) SetLink(l Link) {
	h := n.own
	h.link = l
	h.up = newPipe(&h.link, n.f.o.Root.Stream("link "+h.name+" up"))
	h.down = newPipe(&h.link, n.f.o.Root.Stream("link "+h.name+" down"))
}

// Bytes appends the packet being walked to b, with all its checksums: in Options.Before as it came, in After as it is now. What
// a node rejects or drops stays as it came.
func (n *Node) Bytes(b []byte) []byte {
	start := len(b)
	b = bytesOf(b, n.pkt)
	if n.f.o.Checksums {
		return b
	}
	var p packet.Packet
	var l layout
	if read(flat(b[start:]), len(b)-start, &p, &l) == sound {
		fillChecksums(b[start:], &l, &p)
	}
	return b
}

// Answer appends what the node tells the sender of the packet that After is called for, if it was rejected.
func (n *Node) Answer(b []byte) []byte {
	if n.said == nil {
		return b
	}
	return bytesOf(b, n.said)
}
