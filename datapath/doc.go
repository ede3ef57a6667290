// Package datapath is the model of one Linux node's service datapath.
//
// A Program is what a node is loaded with; an Op changes it, as one command of kube-proxy or an operator does; a Node is
// loaded by the very list of operations that loads a kernel, and walks packets. A Profile says which kernel it is.
//
// Everything below this package is pure: no input or output, no clock, no goroutine, no randomness but what a
// netfilter.Source is asked for. Time is the caller's: a time.Duration since the node started.
package datapath
