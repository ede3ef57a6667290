package kernel

import (
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
)

// role is the name by which a box knows this package's agent.
const role = "kernel"

// The messages between Kernel and agent, in the order in which they are used.
type (
	setupRequest struct{ Topology Topology }

	applyRequest struct{ Steps []step }
	// applyAnswer ends an apply. Failed is the index of the operation that failed with the error that follows, or -1.
	applyAnswer struct {
		Failed int
		Notes  []Note
	}

	runRequest struct {
		Flows   []Flow
		Workers int
		Timeout time.Duration
	}
	runAnswer struct {
		Outcomes    []Outcome
		End         bool // the last answer: the fields below are set
		Retransmits int64
		Elapsed     time.Duration
	}

	inspectRequest struct {
		Family       packet.Family
		Variant      datapath.Variant
		Table, Chain string
	}
)

// Note is something about an operation that did not take effect as asked, and does not stop the rest.
type Note struct {
	Index int    // of the operation in the list given to Apply
	Op    string // as a command line
	Text  string
}

// Version is what a kernel world runs on.
type Version struct {
	Release  string // of the kernel, as uname -r prints it
	Variant  datapath.Variant
	IPTables string // version of the iptables tools, "1.8.9"
}

// RuleCounter is one line of a chain with its counters.
type RuleCounter struct {
	Rule           string // as iptables -S prints it, without the counters: "-A …" or "-P …"
	Packets, Bytes uint64
}
