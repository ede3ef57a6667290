package kubeproxy

import (
	"strconv"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

// Host is the node as kube-proxy's commands find it.
type Host interface {
	// Run runs one command or netlink call. An error is what the command reports; nothing has changed then.
	Run(datapath.Op) error
	// Chains lists the chains of a table of iptables, built-in ones included, as iptables-save does; in any order.
	Chains(f packet.Family, table string) []string
	// UDPFlows lists the conntrack entries of UDP in a family, in any order.
	UDPFlows(packet.Family) []Flow
}

// Flow is a conntrack entry as kube-proxy reads it: the tuple of the first packet, and that of answers.
type Flow struct{ Original, Reply packet.Tuple }

// Kind is how much a sync writes.
type Kind string

// The kinds of sync.
const (
	Full    Kind = "full"    // everything
	Partial Kind = "partial" // what Services share, and the chains of Services that changed
	Compare Kind = "compare" // ipvs: everything is walked, what differs is written
)

// Options say what else happened before a sync.
type Options struct {
	ForceFull bool // as the iptables monitor does when its canary chain has gone
}

// Result is what one sync did.
type Result struct {
	Kind     Kind
	Asked    bool          // the changes since the last sync made kube-proxy ask for this one
	Ops      []datapath.Op // in order; reads and checks left out
	Failed   []bool        // parallel to Ops: the command reported an error
	Log      []string      // log lines up to verbosity 2, without the one that holds the duration
	Commands Counts        // how often each command ran
	Dumps    int           // how often the conntrack table was read; -1 where the sync had no reason to
	Err      error         // of the command that ended the sync early; the next sync is full
}

// Counts counts commands by name: EnsureChain, EnsureRule, "iptables-save -t nat", iptables-restore, …
type Counts map[string]int

// Proxier is one family's proxier of one mode, from the start of the process on.
type Proxier interface {
	// Start runs what kube-proxy does before its first sync.
	Start(Host) Result
	// Sync brings the host to the state, at a time since the node started that never goes back. The error is for input
	// that cannot be modelled; failures of commands are in the Result.
	Sync(now time.Duration, s service.State, h Host, o Options) (Result, error)
}

// New makes the proxier of a mode and family. Configuration and node are read from the state as at the start of a process:
// later ones change nothing but the topology labels. An empty mode is iptables.
func New(mode service.Mode, f packet.Family, s service.State, profile datapath.Profile) (Proxier, error) {
	switch mode {
	case service.ModeIPTables, "":
		return newIPTables(f, s, profile), nil
	case service.ModeNFTables:
		return newNFTables(f, s), nil
	case service.ModeIPVS:
		return newIPVS(f, s, profile)
	}
	return nil, &UnsupportedModeError{Mode: mode}
}

// run collects what a sync does while it does it.
type run struct {
	host Host
	Result
}

// do runs an operation and records it.
func (r *run) do(op datapath.Op) error {
	err := r.host.Run(op)
	r.Ops = append(r.Ops, op)
	r.Failed = append(r.Failed, err != nil)
	return err
}

// try runs an operation that is expected to fail where there is nothing to change, and records it if it changed something.
func (r *run) try(op datapath.Op) error {
	err := r.host.Run(op)
	if err == nil {
		r.Ops = append(r.Ops, op)
		r.Failed = append(r.Failed, false)
	}
	return err
}

func (r *run) count(command string) {
	if r.Commands == nil {
		r.Commands = Counts{}
	}
	r.Commands[command]++
}

func (r *run) logf(words ...any) {
	var b []byte
	for _, w := range words {
		switch w := w.(type) {
		case string:
			b = append(b, w...)
		case int:
			b = strconv.AppendInt(b, int64(w), 10)
		case bool:
			b = strconv.AppendBool(b, w)
		}
	}
	r.Log = append(r.Log, string(b))
}

// duration spells a time as klog does: 30s, 1m0s.
func duration(d time.Duration) string { return d.String() }
