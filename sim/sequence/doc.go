// Package sequence plays changes of a cluster over virtual time against kube-proxy on one node, and records what it does
// in each step: the commands it runs, the text that reaches iptables-restore, the conntrack entries it deletes, the
// tables that result.
//
// A sequence is a YAML file: the objects at the start, then steps that apply and delete objects, let time pass, make
// programming fail, or restart kube-proxy, in the same mode or in another. Only the IPv4 proxier is played. Traffic plays
// no part: connections are given by the steps.
package sequence
