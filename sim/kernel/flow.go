package kernel

import (
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/box"
)

// Flow is one connection to open, or one datagram to send and have answered.
type Flow struct {
	ID    uint64 // the caller's; returned in the outcome
	Proto packet.Protocol
	// Src decides where the flow starts: an address of the node (or a loopback address) on the node, a local Pod's among the
	// pods, any other outside. Port 0 lets the rig choose, never a port used for the same source and destination within PortRest.
	Src  netip.AddrPort
	Dst  netip.AddrPort
	At   time.Duration // earliest start, from the start of the run; 0 means as soon as a worker is free
	Hold time.Duration // how long a TCP connection stays open after the answer
	FIN  bool          // close by FIN; a reset otherwise, which leaves no TIME_WAIT behind
}

// question is what a client's datagram says.
const question = "who\n"

// Outcome is what became of a Flow, as its client saw it.
type Outcome struct {
	ID       uint64
	Proto    packet.Protocol
	Src, Dst netip.AddrPort // as sent; the port that was used
	// Sequence orders the starts of a run, from 0: with one worker it is the order of the flows.
	Sequence int
	Start    time.Duration // when the first packet was sent, from the start of the run
	Connect  time.Duration // until the handshake was complete, the answer came, or the failure was known
	// Backend is the socket that accepted, Peer the source address that it saw: another than Src when it was masqueraded.
	// Both are invalid where Failure says why there was no answer.
	Backend, Peer netip.AddrPort
	Failure       box.Failure
	Errno         string
	FIN           bool // it was closed by FIN
	// Retransmits, SegmentsOut and SegmentsIn are of the client's TCP socket before it closes (struct tcp_info); the reset
	// or FIN that closes it is not in them.
	Retransmits, SegmentsOut, SegmentsIn uint32
}

// Masqueraded reports whether the backend saw another source address or port than the client's.
func (o *Outcome) Masqueraded() bool { return o.Peer.IsValid() && o.Peer != o.Src }

// Log is what was sent and what answered in one run, ordered by Sequence.
type Log struct {
	Outcomes []Outcome
	// Retransmits are the TCP segments sent again by clients and backends while the run lasted (RetransSegs of
	// /proc/net/snmp in every namespace). When not zero, packet counters say nothing exact.
	Retransmits int64
	Elapsed     time.Duration // from the first start to the last end
	Partial     bool          // the run was cut short: some flows have no outcome
}

// RunOptions say how flows are sent. The zero value is usable.
type RunOptions struct {
	Workers int // connections in flight; 0 means 16, 1 keeps the order of the flows
	// Timeout is of connecting and of the answer, each; 0 means 10 s, long enough for a busy machine. A SYN that nobody
	// answers is sent again after 1 s: where drops are expected, less than that keeps the packet counters exact.
	Timeout time.Duration
	// Reuse lets flows that name their source port have one that was used a moment ago: what the node remembers of the old
	// connection is what such a run asks about.
	Reuse bool
	// Progress is told the number of outcomes so far, now and then. It may be nil.
	Progress func(done int)
}
