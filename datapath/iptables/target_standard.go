package iptables

import "github.com/svclab/svclab/datapath/netfilter"

// Standard is one of the verdicts that are no extension (net/netfilter/x_tables.c, the nameless target).
type Standard uint8

// The standard verdicts.
const (
	VerdictAccept Standard = iota + 1 // this table is done with the packet
	VerdictDrop                       // the packet ends here
	VerdictReturn                     // back to the rule after the jump; in a built-in chain: the policy
	VerdictQueue                      // hand the packet to a program: not modelled
)

var standardNames = [...]string{"", "ACCEPT", "DROP", "RETURN", "QUEUE"}

// The boxed verdicts, so that rules share them.
var standardTargets = [...]Target{nil, VerdictAccept, VerdictDrop, VerdictReturn, VerdictQueue}

// Name is the name after -j.
func (s Standard) Name() string { return standardNames[s] }

// Append appends nothing: verdicts have no options.
func (s Standard) Append(b []byte) []byte { return b }

func standardVerdict(name string) Target {
	for i, n := range standardNames[1:] {
		if n == name {
			return standardTargets[i+1]
		}
	}
	return nil
}

// parsePolicy reads the policy of a built-in chain.
func parsePolicy(s string) (netfilter.Verdict, bool) {
	switch s {
	case "ACCEPT":
		return netfilter.Accept, true
	case "DROP":
		return netfilter.Drop, true
	}
	return 0, false
}

func policyName(v netfilter.Verdict) string {
	switch v {
	case netfilter.Accept:
		return "ACCEPT"
	case netfilter.Drop:
		return "DROP"
	}
	return "-"
}

// Jump continues in a user chain: by -j with a return to the next rule, by -g without.
type Jump struct {
	Chain string
	Goto  bool
}

// Name is the chain.
func (j *Jump) Name() string { return j.Chain }

// Append appends nothing.
func (j *Jump) Append(b []byte) []byte { return b }
