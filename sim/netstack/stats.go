package netstack

// Stats counts what became of packets and connections in one Fabric, by name. Every packet that a stack or a port sends ends
// in exactly one of the counters of its end, or is still on its way; the others tell what it met.
type Stats struct {
	Sent      uint64 // packets that stacks and ports handed over
	Walked    uint64 // walks of packets through modelled nodes
	Delivered uint64 // ends: handed to a stack or port

	DroppedByNode uint64 // ends: by a rule, or by the node's routing
	Rejected      uint64 // ends: by a rule that tells the sender
	Answers       uint64 // packets that nodes made themselves: answers to rejected packets, ICMP errors
	LostOnLink    uint64 // ends: the link's loss
	LinkQueueFull uint64 // ends: the link's queue
	NoHost        uint64 // ends: nobody has the destination
	PowerOff      uint64 // ends: the sender or receiver is off
	Martian       uint64 // of those delivered: ignored, since they bear an address of the receiver as source
	Looped        uint64 // ends: walked through more nodes than a hop limit allows
	Unmodelled    uint64 // ends: a rule on the way is not modelled
	Multicast     uint64 // ends: to a group, which no link carries

	Truncated    uint64 // ends: shorter than its headers say
	BadHeader    uint64 // ends: no IP packet, or an extension header out of place
	BadChecksum  uint64 // ends: a checksum of IP or of the transport does not fit
	TimeExceeded uint64 // ends: no time to live is left; the sender is told
	PacketTooBig uint64 // ends: larger than the link, and not to be cut; the sender is told

	Fragments           uint64 // fragments that reached a node
	Fragmented          uint64 // packets that a node cut for a smaller link
	Reassembled         uint64 // datagrams that a node put together
	FragmentsOverlap    uint64 // ends: datagrams given up for overlapping fragments
	FragmentsExpired    uint64 // ends: datagrams given up after 30 seconds
	FragmentsNoMemory   uint64 // ends: datagrams given up for others, at the limit
	PortQueueFull       uint64 // ends: a port whose reader does not keep up
	RequestsRefused     uint64 // requests that a server turned away with its queue full
	RequestsDropped     uint64 // requests that a server left without an answer with its queue full
	ConnectionsRefused  uint64 // connections that a server reset because it has enough
	ConnectionsAccepted uint64

	Stacks StackStats
}

// StackStats is what the stacks of all hosts counted, those that were removed included.
type StackStats struct {
	Retransmits        uint64 // TCP segments sent again
	Timeouts           uint64 // retransmission timeouts
	ResetsSent         uint64
	ResetsReceived     uint64
	ListenOverflows    uint64 // SYNs and final ACKs dropped because a listener's queue was full
	SYNCookies         uint64 // SYNs answered without keeping anything
	HandshakesFailed   uint64
	ChecksumErrors     uint64 // TCP segments and datagrams dropped
	Malformed          uint64 // IP packets, segments, datagrams and fragments dropped
	ClosedPorts        uint64 // datagrams for which nobody listened
	ReceiveBufferFull  uint64 // datagrams dropped because their socket was not read
	ConnectionTimeouts uint64 // connections given up after retransmissions without an answer
}

// count adds up what a host's stack counted.
func (t *StackStats) count(h *Host) {
	if h.stack == nil {
		return
	}
	s := h.stack.Stats()
	t.Retransmits += s.TCP.Retransmits.Value()
	t.Timeouts += s.TCP.Timeouts.Value()
	t.ResetsSent += s.TCP.ResetsSent.Value()
	t.ResetsReceived += s.TCP.ResetsReceived.Value()
	t.ListenOverflows += s.TCP.ListenOverflowSynDrop.Value() + s.TCP.ListenOverflowAckDrop.Value()
	t.SYNCookies += s.TCP.ListenOverflowSynCookieSent.Value()
	t.HandshakesFailed += s.TCP.FailedConnectionAttempts.Value()
	t.ChecksumErrors += s.TCP.ChecksumErrors.Value() + s.UDP.ChecksumErrors.Value()
	t.Malformed += s.TCP.InvalidSegmentsReceived.Value() + s.UDP.MalformedPacketsReceived.Value() +
		s.IP.MalformedPacketsReceived.Value() + s.IP.MalformedFragmentsReceived.Value()
	t.ClosedPorts += s.UDP.UnknownPortErrors.Value()
	t.ReceiveBufferFull += s.UDP.ReceiveBufferErrors.Value()
	t.ConnectionTimeouts += s.TCP.EstablishedTimedout.Value()
}
