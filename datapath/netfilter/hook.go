// Package netfilter holds what every mechanism on the packet path shares: hooks and their priorities, verdicts,
// and the Walk, which carries one packet's context from hook to hook.
//
// The path of a packet through one node. Numbers are priorities (include/uapi/linux/netfilter_ipv4.h): lower runs first.
//
//	in ──> PREROUTING ──────────> route ──┬──────────────> FORWARD ──────────┬──> POSTROUTING ──> out
//	       -300 raw                       │                -150 mangle       │    -150 mangle
//	       -200 conntrack                 │                   0 filter       │     100 nat (source)
//	       -150 mangle                    v                  99 IPVS icmp    │     max confirm
//	       -100 nat (destination)       INPUT               100 IPVS reply   │
//	                                   -150 mangle                           │
//	                                      0 filter                           │
//	                                     98 IPVS reply                       │
//	                                     99 IPVS request ──> (OUTPUT) ───────┤
//	                                    100 nat (source)                     │
//	                                    max confirm ──> local process ──> OUTPUT
//	                                                                     -300 raw      -99 IPVS reply
//	                                                                     -200 conntrack -98 IPVS request
//	                                                                     -150 mangle      0 filter
//	                                                                     -100 nat (destination), then routed again
package netfilter

import "strconv"

// Hook is one of the five points where functions look at a packet.
type Hook uint8

// The hooks, in the order a forwarded packet would meet them; Output starts the path of a local packet.
const (
	PreRouting  Hook = iota // just arrived on an interface, before routing
	Input                   // routed to this host, before the socket
	Forward                 // routed through this host
	Output                  // sent by a local socket, already routed once
	PostRouting             // about to leave by an interface
	NumHooks
)

var hookNames = [...]string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}

// String returns the name of the hook's built-in chain.
func (h Hook) String() string {
	if int(h) < len(hookNames) {
		return hookNames[h]
	}
	return "hook(" + strconv.Itoa(int(h)) + ")"
}

// ParseHook returns the hook of a built-in chain name.
func ParseHook(name string) (Hook, bool) {
	for i, n := range hookNames {
		if n == name {
			return Hook(i), true
		}
	}
	return 0, false
}

// Priority orders the functions of one hook; lower runs first.
type Priority int

// The priorities of the kernel's own functions (include/uapi/linux/netfilter_ipv4.h, enum nf_ip_hook_priorities;
// net/netfilter/ipvs/ip_vs_core.c, ip_vs_ops4).
const (
	PriorityRawBeforeDefrag   Priority = -450
	PriorityRaw               Priority = -300
	PriorityConntrack         Priority = -200
	PriorityMangle            Priority = -150
	PriorityNATDestination    Priority = -100
	PriorityIPVSReplyOutput   Priority = -99
	PriorityIPVSRequestOutput Priority = -98
	PriorityFilter            Priority = 0
	PriorityIPVSReplyInput    Priority = 98
	PriorityIPVSRequestInput  Priority = 99
	PriorityIPVSICMPForward   Priority = 99
	PriorityIPVSReplyForward  Priority = 100
	PriorityNATSource         Priority = 100
	PriorityConfirm           Priority = 1<<31 - 1
)

// Verdict is what a hook function decides about a packet.
type Verdict uint8

// The verdicts. The zero value is Continue: the function had nothing to decide.
const (
	Continue Verdict = iota // go on with the next function
	Accept                  // this table is done with the packet; the next function sees it
	Drop                    // the packet ends here without an answer
	Reject                  // the packet ends here and its sender is told (Walk.Rejection says how)
	Stolen                  // another mechanism has taken the packet over
)

var verdictNames = [...]string{"continue", "accept", "drop", "reject", "stolen"}

func (v Verdict) String() string {
	if int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return "verdict(" + strconv.Itoa(int(v)) + ")"
}
