package conntrack

import (
	"time"

	"github.com/svclab/svclab/datapath/journal"
	"github.com/svclab/svclab/datapath/packet"
)

// State is a state of a protocol's connection-tracking machine; its meaning depends on the protocol.
type State uint8

// The states of TCP (include/uapi/linux/netfilter/nf_conntrack_tcp.h, enum tcp_conntrack).
const (
	TCPNone        State = iota
	TCPSynSent           // a SYN went in original direction
	TCPSynRecv           // it was answered by SYN/ACK
	TCPEstablished       // the handshake's third packet was seen, or the connection was picked up
	TCPFinWait           // a first FIN was seen
	TCPCloseWait         // and acknowledged
	TCPLastAck           // the second FIN was seen
	TCPTimeWait          // and acknowledged
	TCPClose             // a RST was seen
	TCPSynSent2          // SYNs went both ways: simultaneous open
	NumTCPStates
	tcpInvalid // the packet is INVALID in this state
	tcpIgnore  // the packet passes and changes nothing
)

// protoState is what the machines remember of a flow beside its state.
type protoState struct {
	streamAt  time.Duration // UDP: from here on a flow with replies is a stream
	lastKind  tcpKind
	lastReply bool // direction of the latest packet looked at
	flags     tcpFlow
}

// tcpFlow are facts about a TCP connection (include/uapi/linux/netfilter/nf_conntrack_tcp.h, IP_CT_TCP_FLAG_*).
type tcpFlow uint8

const (
	closeInit        tcpFlow = 1 << iota // a FIN started the closing
	simultaneousOpen                     // SYN_SENT2 was reached
	expectChallenge                      // a SYN in LAST_ACK may be answered by a challenge ACK
	unackedOriginal                      // data in original direction awaits its acknowledgement
	unackedReply                         // likewise in reply direction
)

// tcpKind is what the machine looks at in a segment's flags.
type tcpKind uint8

const (
	kindNone tcpKind = iota
	kindSyn
	kindSynAck
	kindFin
	kindAck
	kindRst
)

func tcpKindOf(f packet.TCPFlags) tcpKind {
	switch {
	case f&packet.RST != 0:
		return kindRst
	case f&packet.SYN != 0 && f&packet.ACK != 0:
		return kindSynAck
	case f&packet.SYN != 0:
		return kindSyn
	case f&packet.FIN != 0:
		return kindFin
	case f&packet.ACK != 0:
		return kindAck
	}
	return kindNone
}

// tcpNext gives the next state by direction, kind of segment and state (nf_conntrack_proto_tcp.c, tcp_conntracks, v6.1).
var tcpNext = func() (next [2][6][NumTCPStates]State) {
	const (
		ss, sr, es, fw, cw = TCPSynSent, TCPSynRecv, TCPEstablished, TCPFinWait, TCPCloseWait
		la, tw, cl, s2     = TCPLastAck, TCPTimeWait, TCPClose, TCPSynSent2
		iv, ig             = tcpInvalid, tcpIgnore
	)
	type row = [NumTCPStates]State
	// Columns: none, SYN_SENT, SYN_RECV, ESTABLISHED, FIN_WAIT, CLOSE_WAIT, LAST_ACK, TIME_WAIT, CLOSE, SYN_SENT2.
	none := row{iv, iv, iv, iv, iv, iv, iv, iv, iv, iv}
	fin := row{iv, iv, fw, fw, la, la, la, tw, cl, iv}
	rst := row{iv, cl, cl, cl, cl, cl, cl, cl, cl, cl}
	next[0] = [6]row{
		kindNone:   none,
		kindSyn:    {ss, ss, ig, ig, ig, ig, ig, ss, ss, s2},
		kindSynAck: {iv, iv, sr, iv, iv, iv, iv, iv, iv, sr},
		kindFin:    fin,
		kindAck:    {es, iv, es, es, cw, cw, tw, tw, cl, iv},
		kindRst:    rst,
	}
	next[1] = [6]row{
		kindNone:   none,
		kindSyn:    {iv, s2, iv, iv, iv, iv, iv, ss, iv, s2},
		kindSynAck: {iv, sr, ig, ig, ig, ig, ig, ig, ig, sr},
		kindFin:    fin,
		kindAck:    {iv, ig, sr, es, cw, cw, tw, tw, cl, ig},
		kindRst:    rst,
	}
	return next
}()

// tcpFlagsValid reports whether a segment's flags make sense together, PSH aside (nf_conntrack_proto_tcp.c,
// tcp_valid_flags).
func tcpFlagsValid(f packet.TCPFlags) bool {
	switch f &^ packet.PSH {
	case packet.SYN, packet.SYN | packet.URG, packet.SYN | packet.ACK,
		packet.RST, packet.RST | packet.ACK,
		packet.FIN | packet.ACK, packet.FIN | packet.ACK | packet.URG,
		packet.ACK, packet.ACK | packet.URG:
		return true
	}
	return false
}

// tcpPacket is the machine of TCP (nf_conntrack_proto_tcp.c, nf_conntrack_tcp_packet, v6.1). Sequence numbers and
// windows are not modelled: a segment counts as in the window unless its packet says otherwise, and a SYN/ACK as the answer to the
// latest SYN.
func (t *Table) tcpPacket(now time.Duration, c *Conn, info Info, p *packet.Packet, j *journal.Journal) answer {
	if !tcpFlagsValid(p.TCPFlags) {
		return packetInvalid
	}
	kind, reply, dir := tcpKindOf(p.TCPFlags), info.IsReply(), 0
	if reply {
		dir = 1
	}
	old, ps := c.State, &c.proto
	if !c.Status.Has(Confirmed) && old == TCPNone && kind != kindSyn && (kind != kindAck || !t.cfg.TCPLoose) {
		return packetInvalid // not the start of a connection, and none to be picked up
	}
	next := tcpNext[dir][kind][old]
	switch next {
	case tcpInvalid:
		return packetInvalid
	case TCPSynSent:
		if old >= TCPTimeWait && old != TCPSynSent2 {
			if ps.flags&closeInit != 0 || ps.lastReply == reply && ps.lastKind == kindRst {
				return packetRepeat // a new connection with the ports of a closed one
			}
			return t.tcpIgnored(c, kind, reply, old)
		}
	case tcpIgnore:
		if kind != kindSynAck || ps.lastKind != kindSyn || ps.lastReply == reply {
			return t.tcpIgnored(c, kind, reply, old)
		}
		// The answer to a SYN that was ignored: both ends are in step, the entry catches up.
		old, next = TCPSynSent, TCPSynRecv
		ps.flags = 0
	case TCPTimeWait:
		if old == TCPLastAck && kind == kindAck && ps.lastReply != reply && ps.lastKind == kindSyn && ps.flags&expectChallenge != 0 {
			ps.flags &^= expectChallenge // RFC 5961 challenge ACK, not the last one
			return packetValid
		}
	case TCPSynSent2:
		ps.flags |= simultaneousOpen
	case TCPSynRecv:
		if reply && kind == kindAck && ps.flags&simultaneousOpen != 0 {
			next = TCPEstablished
		}
	}
	if p.OutOfWindow && !t.cfg.TCPBeLiberal {
		return packetInvalid // tcp_in_window
	}
	ps.lastKind, ps.lastReply = kind, reply
	c.State = next
	if old != next && next == TCPFinWait {
		ps.flags |= closeInit
	}
	return t.tcpTimeout(now, c, p, old, next, reply, kind, j)
}

// tcpIgnored remembers a segment that passes without changing the state.
func (t *Table) tcpIgnored(c *Conn, kind tcpKind, reply bool, old State) answer {
	c.proto.lastKind, c.proto.lastReply = kind, reply
	if kind == kindSyn && !reply && old == TCPLastAck {
		c.proto.flags |= expectChallenge
	}
	return packetValid
}

// tcpTimeout chooses the entry's lifetime after a segment and marks it assured when the handshake is complete.
// Data is known by its PSH flag, which ends every burst of a sender.
func (t *Table) tcpTimeout(now time.Duration, c *Conn, p *packet.Packet, old, next State, reply bool, kind tcpKind, j *journal.Journal) answer {
	to := &t.cfg.Timeouts
	ps := &c.proto
	mine, theirs := unackedOriginal, unackedReply
	if reply {
		mine, theirs = theirs, mine
	}
	if p.TCPFlags&packet.ACK != 0 {
		ps.flags &^= theirs
	}
	if p.TCPFlags&packet.PSH != 0 {
		ps.flags |= mine
	}
	timeout := to.TCP[next]
	if kind == kindRst {
		timeout = to.TCP[TCPClose]
	} else if ps.flags&(unackedOriginal|unackedReply) != 0 {
		timeout = min(timeout, to.TCPUnacknowledged)
	}
	if !c.Status.Has(SeenReply) {
		if kind == kindRst {
			t.remove(c, j) // refused: the entry ends with the answer
			return packetValid
		}
		if kind == kindSyn && old == TCPSynSent {
			return packetValid // repeated SYNs do not keep an entry alive
		}
		if next == TCPEstablished {
			timeout = min(timeout, to.TCPUnacknowledged) // picked up in mid-stream
		}
	} else if !c.Status.Has(Assured) && (old == TCPSynRecv || old == TCPEstablished) && next == TCPEstablished {
		c.Status |= Assured
	}
	t.refresh(now, c, timeout, j)
	return packetValid
}
