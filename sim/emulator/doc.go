// Package emulator is a place to work in: a modelled node with its Pods, Services and cluster DNS, alive, with doors through which real
// programs reach it, and none through which it reaches the network.
//
//	curl ── SOCKS5, HTTP CONNECT ──┐                             ┌── Pods with built-in servers
//	                               ├── a Pod ── the node: rules ─┼── Pods in front of real local processes
//	a shell ── TUN ────────────────┘                             └── cluster DNS
//
// Every connection is one of a Pod's (or of whoever Options.From names): its name is asked of cluster DNS as that Pod's resolver asks,
// by packets that pass the node, and its own packets walk the rules that kube-proxy made of the objects. Behind every endpoint stands
// something that answers and tells who it is: HTTP and an echo on the same port, or a process of the user's.
//
// While it runs, Control shows the node as iptables-save, ipvsadm and conntrack show a kernel's, changes endpoints and modes as the
// API server and kube-proxy do, and tells every packet to whoever follows.
//
// The bargain: time is the wall clock's, so nothing here comes out twice the same to the byte; what is decided by chance is, given the
// same packets in the same order. The local node is modelled, and with Options.AllNodes every other with rules of its own; without it,
// Pods of other nodes stand outside, as they do for the local node's rules.
// There is no SCTP, which the stacks of the Pods do not have: such ports are named and left without a server. Addresses that are not
// of the cluster are refused at the door, whatever the door.
package emulator
