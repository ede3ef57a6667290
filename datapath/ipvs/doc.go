// Package ipvs models Linux's IP Virtual Server: virtual services, their real servers in the kernel's list order, the
// schedulers, the connection table with its timers, and persistence.
//
// A Table is one network namespace's IPVS. It is configured by the operations of ipvsadm (AddService, AddDestination and
// their kin), advanced in virtual time (Advance), and asked about packets by two hook functions:
//
//	PREROUTING ── route ── INPUT: filter 0, Reply 98, Request 99 ──┬─ Continue: on to the local socket
//	                          │                                    ├─ Stolen:   OUTPUT, POSTROUTING, out (Result.NextHop)
//	                          │                                    ├─ Reject:   ICMP port unreachable to the client
//	                          │                                    └─ Drop
//	                          └── FORWARD: filter 0, Reply 100 ── POSTROUTING ── out
//	local socket ── OUTPUT: conntrack -200, nat -100, Reply -99, Request -98, filter 0 ── POSTROUTING
//
// Request takes packets from clients to a virtual service and picks a server for new connections; Reply puts the virtual
// address back as the source of what NAT servers answer. A packet that IPVS has handled carries Packet.Internal and is left
// alone from there on.
//
// Every mechanism of the kernel is walked as the kernel walks it: rr keeps its cursor, wrr its current weight, sh, dh and mh
// build the kernel's tables, lblc and lblcr keep caches that expire. Chance (twos) comes from Walk.Intn. Changes of state
// that a packet makes are recorded in Walk.Journal; configuration and Advance are not.
//
// Left out, and refused where a configuration asks for it: the SIP persistence engine, FTP payload rewriting, GUE and GRE
// tunnels, connection synchronisation, secure_tcp, drop_entry and drop_packet. Timers are exact instead of rounded to the
// kernel's ticks.
package ipvs
