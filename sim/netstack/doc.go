// Package netstack is the world of real transport protocols: client Pods, machines outside, nodes and endpoints are gVisor stacks,
// and every packet between them walks the modelled datapath of the nodes it passes. Nothing is asked of a flow but what its socket
// is told; handshakes, retransmissions, windows, TIME_WAIT and ICMP errors are what the stacks make of them.
//
//	Conn, Server          what applications do: open, exchange, close; serve with workers and a queue
//	Messages              and its server: whole messages with content, as DNS has them
//	gVisor stack          TCP, UDP, ICMP, IP of one Host
//	endpoint              takes what the stack sends; it only gathers
//	pipe                  loss, delay, jitter and bandwidth of one direction of a Link
//	Node                  bytes -> packet.Packet -> datapath.Node -> bytes, in place; fragments, MTU, answers of the node's own
//	pipe, gVisor stack    of whoever has the destination now
//
// A Fabric is one universe of these. It has one goroutine, the pump, which in virtual time is its caller's: Advance takes what is
// due in the order of time, flow and sequence, does it, and gathers what comes of it. The only other goroutines are those of gVisor's
// TCP. They stand still until everything of a round is in their queues, then run until the queues are empty again (barrier): so the
// same seed gives the same packets, byte by byte, however goroutines are scheduled and on however many processors. Applications are
// callbacks on the pump; no connection costs a goroutine. Two Fabrics share nothing and may run side by side.
//
// With Options.Live the clock is the wall's, the pump a goroutine, and nothing is promised about order. Hosts then dial and listen
// with the types of package net, and a Port carries raw packets in and out.
//
// The bargains. Packets pass between stacks by reference, without link headers and, unless Options.Checksums says so, without
// transport checksums; headers are read and rewritten where they lie, checksums follow the changed words (RFC 1624). gVisor's own
// iptables and conntrack are empty. Neighbours are not discovered: who has an address is known.
//
// What differs from Linux. gVisor has no SCTP. It takes the time of a SYN that was lost for part of the round trip, so that what
// is lost right after a late handshake is late too. A packet larger than the next link is
// counted by FORWARD rules before it is refused. A node sends no ICMP error when no route is there, nor when nobody has the address.
// Congestion control is Reno. A packet whose checksum is wrong is dropped and counted where it enters, in place of being left
// untracked. ICMP errors of a stack have no rate limit.
package netstack
