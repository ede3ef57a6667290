// Package input reads what operators have, manifests and kube-proxy configurations as kubectl prints them, and turns it
// into a service.State; it tells manifests from dumps (iptables-save and the like), which other packages parse.
//
// The way of an object: bytes are cut into documents, each document is read into a tree of nodes that know their line and
// column (YAML or JSON, one form), lists are taken apart, and each item is decoded into the upstream type of its kind
// (k8s.io/api, k8s.io/kube-proxy) by field, so that every complaint can point at the text it is about. What the API
// server and kube-proxy would refuse is refused here, with file, line and column; what they would default is defaulted in
// Objects.State. Kinds that neither the datapath nor DNS needs are listed as ignored.
//
// The bargain: sizes are bounded by counting before building. A document may nest maxDepth levels deep and hold at most
// maxNodes values for its size, aliases may not multiply it, so that memory stays in proportion to the input.
//
// What is left out: admission plugins, allocation (a Service without a cluster IP stays without one), custom resources.
package input
