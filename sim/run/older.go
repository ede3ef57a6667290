package run

import (
	"math/big"
	"regexp"
	"slices"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/service"
)

// The steps that kube-proxy can be without, each with the release that brought it.
const (
	udpCleanup          = "udpCleanup"          // conntrack entries of UDP flows to endpoints that are gone are deleted
	terminatingFallback = "terminatingFallback" // 1.26: where no endpoint is ready, those that serve while terminating are used
	gracefulTermination = "gracefulTermination" // 1.13, ipvs: a server is kept with weight 0 until its last connection ends
	exactProbabilities  = "exactProbabilities"  // 1.17: probabilities with ten decimals; five before
	hostFilter          = "hostFilter"          // 1.28, ipvs: the host's own ports are not reached by Services' addresses
	dropInvalid         = "dropInvalid"         // 1.15: packets that conntrack finds INVALID are not forwarded
)

// dropInvalidRule is what keeps INVALID packets from Pods.
var dropInvalidRule = regexp.MustCompile(`(?m)^-A KUBE-FORWARD .*--ctstate INVALID .*-j DROP\n`)

// hostFilterRule is what keeps Services' addresses from the host's own ports.
var hostFilterRule = regexp.MustCompile(`(?m)^-A KUBE-IPVS-FILTER .*\n`)

var probability = regexp.MustCompile(`--probability [0-9.]+`)

// older is what a kube-proxy without some steps does in place of an operation; nil for nothing.
func older(op datapath.Op, without []string) datapath.Op {
	if len(without) == 0 {
		return op
	}
	switch o := op.(type) {
	case datapath.ConntrackDelete:
		if slices.Contains(without, udpCleanup) {
			return nil
		}
	case datapath.IPVSDestinationEdit:
		if o.Destination.Weight == 0 && slices.Contains(without, gracefulTermination) {
			return datapath.IPVSDestinationDelete{Key: o.Key, Server: o.Destination.Addr}
		}
	case datapath.IPTablesRestore:
		if slices.Contains(without, exactProbabilities) {
			o.Text = probability.ReplaceAllStringFunc(o.Text, fiveDecimals)
		}
		if slices.Contains(without, hostFilter) {
			o.Text = hostFilterRule.ReplaceAllString(o.Text, "")
		}
		if slices.Contains(without, dropInvalid) {
			o.Text = dropInvalidRule.ReplaceAllString(o.Text, "")
		}
		return o
	}
	return op
}

// fiveDecimals rewrites a probability as kube-proxy printed it before 1.17 (pkg/proxy/iptables, probability, "%0.5f").
func fiveDecimals(match string) string {
	const head = "--probability "
	p, ok := new(big.Rat).SetString(match[len(head):])
	if !ok {
		return match
	}
	return head + p.FloatString(5)
}

// told is the state as kube-proxy understands it.
func (s *Subject) told() service.State {
	state := s.State
	if !slices.Contains(s.options.without, terminatingFallback) {
		return state
	}
	state.Slices = slices.Clone(state.Slices)
	for i := range state.Slices {
		sl := &state.Slices[i]
		sl.Endpoints = slices.Clone(sl.Endpoints)
		for k := range sl.Endpoints {
			if x := &sl.Endpoints[k]; x.Terminating {
				x.Serving = false
			}
		}
	}
	return state
}
