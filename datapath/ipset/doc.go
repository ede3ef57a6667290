// Package ipset models the kernel's IP sets as far as rules ask them: named sets of addresses, networks, ports and their
// combinations, to which -m set compares parts of a packet (net/netfilter/ipset).
//
// A Store holds a node's sets. It reads the commands of ipset restore and the listings of ipset save and ipset list, prints the form
// of ipset save, and answers netfilter.SetLookup. Left out: the hash function and with it the kernel's order of entries (they
// are kept as added), memory sizes, per-entry counters that packets move, skbinfo's effect on packets.
package ipset
