// Package kubeproxy is kube-proxy 1.37 as a pure state machine: told the time and what the cluster looks like, it runs
// the commands kube-proxy would run, in its order, against a Host, and says what it did.
//
//	service.State ──tracker──▶ what changed ──proxier of one mode──▶ []datapath.Op ──▶ Host
//
// One file group a mode (iptables*.go, ipvs*.go, nftables*.go), shared by all: the node's addresses (node.go), telling
// local traffic (detect.go), change tracking (tracker.go), the clean-up of stale UDP flows (conntrack.go). Which endpoints
// are usable is decided in package service, before any mode.
//
// kube-proxy visits Services in random order; here it is the order of service.PortName.Compare. What it does at random
// times (its sync loop's rate limit, the iptables monitor with its canary chains) is the caller's: it says when to sync
// and when a full sync is forced.
package kubeproxy
