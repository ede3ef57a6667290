// Package kernel is the third world: a real Linux kernel under the very operations and traffic that the model is given.
//
// It is handed []datapath.Op and []Flow, never a proxy mode. A vehicle brings the kernel: "rootless" and "netns" are the
// host's, in namespaces of a box (sim/box) with and without a user namespace; "uml" is a kernel of its own, Debian's User Mode
// Linux 6.1, whose agent answers the same frames over a serial line: it has IPVS with every scheduler but twos, and legacy
// iptables, and needs no privilege. Inside, three network namespaces are joined by veth:
//
//	outside ── eth0 ══ eth0 ── node ── pod0 ══ eth0 ── pods
//	                  (rules, conntrack)
//
// "pods" holds the Pods of the local node, "outside" everything else: external clients, other nodes and their Pods. Both
// hold clients and backends, so the side of an address decides the interface that its packets cross, as on a node. Whatever
// a socket outside or among the pods sends goes to the node first, also to an address of the same namespace: a Pod that
// calls its own Service takes the hairpin path through the rules. Clients on the node use its own addresses (OUTPUT path).
//
// The links resolve no addresses and send nothing by themselves, so that every packet counted by a rule belongs to a flow.
// ICMP errors are not rate-limited on the node, since a client must see each REJECT. Both are bargains with reality.
//
// What is left out: more than one node with rules, SCTP, fragments, and delays on the links.
package kernel
