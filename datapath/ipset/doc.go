// Package ipset is the kernel's IP sets: named collections of addresses, nets,
// ports and interfaces that an iptables rule asks with -m set.
//
// A Store holds the sets of one node. Its sets are made, filled, emptied,
// swapped and renamed by the operations of the ipset command, refuse what the
// kernel refuses, and are printed as `ipset save` prints them. Through
// netfilter.SetLookup a rule asks whether a packet is in a set.
package ipset
