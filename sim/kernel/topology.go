package kernel

import (
	"fmt"
	"net/netip"

	"github.com/svclab/svclab/datapath/packet"
)

// Topology is the network around the node, as a value: the caller derives it from Services, endpoints and the node.
type Topology struct {
	NodeAddrs    []netip.Addr   // of the node, bound to eth0: the first of a family is what masquerade uses
	LocalPods    []netip.Prefix // addresses of the local node's Pods, behind PodInterface
	PodInterface string         // "" means pod0
	Backends     []Backend      // an address that neither a backend nor a flow uses answers nothing at all
}

// Backend is a socket that answers. It listens on the node when Addr is an address of the node, among the pods when it is in
// LocalPods, and outside otherwise.
type Backend struct {
	Proto packet.Protocol // TCP or UDP
	Addr  netip.AddrPort
}

// Side is the namespace that an address lives in.
type Side uint8

// The sides.
const (
	Outside Side = iota // beyond eth0
	Pods                // Pods of the local node, beyond the pod interface
	Node                // the node itself
)

func (s Side) String() string { return [...]string{"outside", "pods", "node"}[s] }

// SideOf tells where an address lives.
func (t *Topology) SideOf(a netip.Addr) Side {
	if a.IsLoopback() {
		return Node
	}
	for _, n := range t.NodeAddrs {
		if n == a {
			return Node
		}
	}
	for _, p := range t.LocalPods {
		if p.Contains(a) {
			return Pods
		}
	}
	return Outside
}

// check refuses what cannot be built.
func (t *Topology) check() error {
	for _, a := range t.NodeAddrs {
		if !a.IsValid() || a.Is4In6() || a.Zone() != "" || a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() {
			return fmt.Errorf("topology: %q cannot be an address of the node", a)
		}
	}
	for _, p := range t.LocalPods {
		if !p.IsValid() || p.Addr().Is4In6() {
			return fmt.Errorf("topology: %q cannot be a range of Pod addresses", p)
		}
	}
	for _, b := range t.Backends {
		if err := b.check(); err != nil {
			return err
		}
	}
	if n := t.PodInterface; n == "eth0" || n == "lo" || len(n) > 15 {
		return fmt.Errorf("topology: %q cannot be the pod interface", n)
	}
	return nil
}

func (b Backend) check() error {
	if b.Proto != packet.TCP && b.Proto != packet.UDP {
		return fmt.Errorf("topology: backend %s: no sockets for protocol %s", b.Addr, b.Proto)
	}
	if a := b.Addr.Addr(); !a.IsValid() || a.Is4In6() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() || b.Addr.Port() == 0 {
		return fmt.Errorf("topology: nobody can listen at %q", b.Addr)
	}
	return nil
}

func (t *Topology) podInterface() string {
	if t.PodInterface == "" {
		return "pod0"
	}
	return t.PodInterface
}
