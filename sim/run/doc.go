// Package run is the one entry for command line and web: what operators have becomes a Subject, a node loaded with rules;
// from it come rules, traces, explanations, and reports of scenarios.
//
// A scenario runs in a world: replay walks flows through bare nodes, as fast as it goes; netstack has TCP and UDP stacks around the
// same nodes, and so knows how long things take (stackWorld); compare opens the same connections on a real kernel. The engine asks
// a world to open, exchange and close, and hears of it by a call when virtual time has come so far; chance is keyed by the flow, so
// that worlds draw alike whatever order they work in. Names are looked up by the client's own resolver, through the Service of
// CoreDNS, before a connection is opened.
//
// It wires the parts together and decides nothing itself: rules are kubeproxy's, walks the node's, shares come from
// package share, verdicts from package check.
package run
