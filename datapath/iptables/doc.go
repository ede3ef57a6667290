// Package iptables models the iptables rule language and the kernel's evaluation of it.
//
// A Ruleset is one family's tables as typed rules: text is parsed once, at the border, into header conditions, matches
// and a target (Restore, Exec, ReadDump), and printed back as iptables-save prints it. Link turns a Ruleset into flat
// slices of integers and pointers; Linked.Run walks one table at one hook, as ipt_do_table does
// (net/ipv4/netfilter/ip_tables.c, v6.1).
//
// The bargain: one file a kernel concept, with its parser, its printer and its evaluator side by side. Behaviour is that of
// Linux 6.1 and iptables 1.8.9. Extensions that look at what a packet view does not carry (payloads, clocks, sockets) are
// parsed and printed, and a walk that reaches one stops with an UnsupportedError rather than guess.
// Left out: the arp and bridge families, ipset's own storage (package ipset), host and network names, which
// iptables would ask a resolver for.
package iptables
