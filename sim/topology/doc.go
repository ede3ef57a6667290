// Package topology holds what stands between clients and nodes: which node a connection from outside comes to.
//
// Routers and load balancers are taken as what they do with a new connection: one node after another, a hash of its five-tuple, or
// the one node that announces the address. What they are made of, their links and their own failures are left out.
package topology

import (
	"encoding/binary"

	"github.com/svclab/svclab/datapath/packet"
)

// Balancer picks the node that a connection comes to, among those that are up, in the order of their names.
type Balancer interface {
	// Pick returns an index below n, which is at least 1. Number is that of the connection within its traffic.
	Pick(number int64, flow packet.Tuple, n int) int
	// Share is the part of all connections that the node with this index gets in the long run, as a fraction.
	Share(node, n int) (num, den int64)
}

// RoundRobin sends connections to the nodes by turns.
type RoundRobin struct{ next int64 }

// Pick implements Balancer.
func (r *RoundRobin) Pick(_ int64, _ packet.Tuple, n int) int {
	i := int(r.next % int64(n))
	r.next++
	return i
}

// Share implements Balancer.
func (r *RoundRobin) Share(_, n int) (num, den int64) { return 1, int64(n) }

// ECMP sends connections by a hash of their five-tuple, as routers with several next hops of equal cost do. Routers differ in
// the hash; this one is FNV-1a with a finaliser, over addresses, ports and protocol. When the number of nodes changes, most
// connections go elsewhere.
type ECMP struct{ Seed uint64 }

// Pick implements Balancer.
func (e ECMP) Pick(_ int64, flow packet.Tuple, n int) int {
	h := uint64(14695981039346656037) ^ e.Seed
	mix := func(b []byte) {
		for _, x := range b {
			h = (h ^ uint64(x)) * 1099511628211
		}
	}
	src, dst := flow.Src.Addr().As16(), flow.Dst.Addr().As16()
	mix(src[:])
	mix(dst[:])
	mix(binary.BigEndian.AppendUint16(nil, flow.Src.Port()))
	mix(binary.BigEndian.AppendUint16(nil, flow.Dst.Port()))
	mix([]byte{byte(flow.Proto)})
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	return int(h % uint64(n))
}

// Share implements Balancer.
func (e ECMP) Share(_, n int) (num, den int64) { return 1, int64(n) }

// L2 is an address that one node announces by ARP or neighbour discovery: the first of those that are up has it all.
type L2 struct{}

// Pick implements Balancer.
func (L2) Pick(int64, packet.Tuple, int) int { return 0 }

// Share implements Balancer.
func (L2) Share(node, _ int) (num, den int64) {
	if node == 0 {
		return 1, 1
	}
	return 0, 1
}
