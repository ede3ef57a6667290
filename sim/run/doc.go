// Package run is the one entry for command line and web: what operators have becomes a Subject, a node loaded with rules;
// from it come rules, traces, explanations, and reports of scenarios.
//
// It wires the parts together and decides nothing itself: rules are kubeproxy's, walks the node's, shares come from
// package share, verdicts from package check.
package run
