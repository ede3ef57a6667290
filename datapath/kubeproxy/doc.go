// Package kubeproxy is kube-proxy 1.37 as a pure state machine: told the time and what the cluster looks like, it runs
// the commands kube-proxy would run, in its order, against a Host, and says what it did.
//
//	service.State ──tracker──▶ what changed ──proxier of one mode──▶ []datapath.Op ──▶ Host
//
// One file group a mode (iptables*.go, ipvs*.go, nftables*.go), shared by all: the node's addresses (node.go), telling
// local traffic (detect.go), change tracking (tracker.go), the clean-up of stale UDP flows (conntrack.go). Which endpoints
// are usable is decided in package service, before any mode.
//
// The ipvs mode reads virtual servers, sets and addresses back from an IPVSHost, writes what differs, and is Graceful: between
// syncs it looks once a minute at servers that wait for their last connection. It adds the servers of a Service in the order of
// their texts; the kernel puts each at the head of its list, so rr begins with the last. kube-proxy's own order is random.
//
// kube-proxy visits Services in random order; here it is the order of service.PortName.Compare. What it does at random
// times (its sync loop's rate limit, the iptables monitor with its canary chains) is the caller's: it says when to sync
// and when a full sync is forced.
package kubeproxy
