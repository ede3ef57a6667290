// Package curve measures how long it takes to connect to the first and to the last of many Services on a real kernel, by size, and
// says what shape that has: linear, flat, or too noisy to say. The figures are the machine's; the shape is the kernel's.
//
// For every series (a vehicle with an iptables variant or with IPVS) and size, kube-proxy's operations for that many Services of
// three endpoints are loaded into a kernel, and blocks of connections to the first and the last Service are timed in turn. What is
// fitted is the difference of the two, so that what both pay, the machine and its moods included, drops out. Beside it stand the
// rules that the model tries for the same two packets, and what updates cost: everything at once, and one Service changed.
package curve
