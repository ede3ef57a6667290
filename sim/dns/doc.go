// Package dns models the names of a cluster: what CoreDNS 1.15 answers, and what a Pod's resolver asks.
//
// The way of a question: Lookup (resolver.go) turns a name into queries as glibc, musl or Go do, with the search list and
// options of the Pod's resolv.conf (resolvconf.go). Each query is a message given to Server.Answer (server.go), which picks
// the server block, sends the message down its chain of plugins in CoreDNS's fixed order (plugin.go) and makes the reply
// fit. The kubernetes plugin (kubernetes.go) takes the name apart (name.go), finds entries among the objects
// (store.go, find.go, reverse.go) and turns entries into records (backend.go). The Corefile is read by corefile.go and
// setup.go.
//
// A Server is a value made from objects: it has no socket, clock or goroutine. Handler serves it over UDP and TCP with
// github.com/miekg/dns on any net.PacketConn or net.Listener; Respond does the same for bytes.
//
// The bargain: plugins that decide an answer are modelled (kubernetes, hosts, forward to an Upstream, the TTLs of cache) or
// refused by an UnsupportedError; plugins that observe or pace (errors, log, health, ready, prometheus, loop, reload,
// loadbalance) pass every message on. The order of addresses within an answer is that of the objects, not shuffled.
// What is left out: what cache remembers, DNSSEC, zone transfers, multicluster zones, TLS and HTTPS.
package dns
