// Package curve measures how long it takes to connect to the first and to the last of many Services on a real kernel, by their
// number, and says what shape that has: linear, flat, or too noisy to say. The figures are the machine's; the shape is the kernel's.
//
// For every series (a vehicle with an iptables variant or with IPVS) each size has a kernel of its own, loaded with kube-proxy's
// operations for that many Services of three endpoints. All sizes are up at once and are visited in rounds, in an order that is
// drawn anew each time; in a visit, blocks of connections to the first and the last Service take turns (first, last, last, first).
// What is fitted is the difference of the two in their fastest blocks, so that what both pay, the machine and its moods included,
// drops out. Fit says how; Rule says what the verdicts mean. Beside it stand the rules that the model tries for the same two
// packets, and what updates cost: everything at once, and one Service changed.
//
// The first and the last Service are those of the model's rules. IPVS has no such order: it finds a Service in one of 256 lists
// (net/netfilter/ipvs/ip_vs_ctl.c, IP_VS_SVC_TAB_BITS, v6.1) whose newest entry is in front, so that every Service pays a little
// for the others. Fit.First shows that as far as it can be seen between one kernel and another.
//
// What is left out: the time that a reply takes (it never meets the rules), UDP, IPv6, and kernels under load by other traffic.
package curve
