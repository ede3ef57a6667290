package conntrack

import (
	"time"

	"github.com/svclab/svclab/datapath/journal"
	"github.com/svclab/svclab/datapath/packet"
)

// The states of SCTP (include/uapi/linux/netfilter/nf_conntrack_sctp.h, enum sctp_conntrack; the heartbeat states as
// since Linux 6.2 and 6.1.9).
const (
	SCTPNone            State = iota
	SCTPClosed                // INIT went in original direction, or the association ended
	SCTPCookieWait            // INIT ACK was seen
	SCTPCookieEchoed          // COOKIE ECHO was seen
	SCTPEstablished           // COOKIE ACK was seen
	SCTPShutdownSent          // SHUTDOWN in original direction
	SCTPShutdownRecd          // SHUTDOWN in reply direction
	SCTPShutdownAckSent       // SHUTDOWN ACK was seen
	SCTPHeartbeatSent         // a new path began with HEARTBEAT
	NumSCTPStates
	sctpInvalid
)

// sctpNext gives the next state by direction, chunk and state (nf_conntrack_proto_sctp.c, sctp_conntracks).
var sctpNext = func() (next [2][11][NumSCTPStates]State) {
	const (
		cl, cw, ce, es = SCTPClosed, SCTPCookieWait, SCTPCookieEchoed, SCTPEstablished
		ss, sr, sa, hs = SCTPShutdownSent, SCTPShutdownRecd, SCTPShutdownAckSent, SCTPHeartbeatSent
		iv             = sctpInvalid
	)
	type row = [NumSCTPStates]State
	// Most chunks leave most states alone; each row starts from that and names its exceptions.
	rows := func(none, heartbeat State) (r [11]row) {
		for i := range r {
			r[i] = row{none, cl, cw, ce, es, ss, sr, sa, heartbeat}
		}
		return r
	}
	set := func(r *row, to State, from ...State) {
		for _, f := range from {
			r[f] = to
		}
	}
	o := rows(cl, cl)
	set(&o[chunkInit], cl, ss, sr)
	set(&o[chunkInit], cw, hs)
	o[chunkAbort] = row{cl, cl, cl, cl, cl, cl, cl, cl, cl}
	set(&o[chunkShutdown], ss, es)
	set(&o[chunkShutdownAck], sa, SCTPNone, ss, sr, hs)
	set(&o[chunkCookieEcho], ce, cw)
	set(&o[chunkCookieAck], es, ce)
	set(&o[chunkShutdownComplete], cl, sa)
	set(&o[chunkHeartbeat], hs, SCTPNone, hs)
	set(&o[chunkHeartbeatAck], hs, hs)

	r := rows(iv, iv)
	set(&r[chunkInitAck], cw, cl)
	r[chunkAbort] = row{iv, cl, cl, cl, cl, cl, cl, cl, iv}
	set(&r[chunkShutdown], sr, es)
	set(&r[chunkShutdownAck], sa, ss, sr)
	set(&r[chunkError], cl, ce)
	set(&r[chunkCookieEcho], ce, cw)
	set(&r[chunkCookieAck], es, ce)
	set(&r[chunkShutdownComplete], cl, sa)
	set(&r[chunkHeartbeat], hs, hs)
	set(&r[chunkHeartbeatAck], es, hs)
	return [2][11][NumSCTPStates]State{o, r}
}()

const (
	chunkInit = iota
	chunkInitAck
	chunkAbort
	chunkShutdown
	chunkShutdownAck
	chunkError
	chunkCookieEcho
	chunkCookieAck
	chunkShutdownComplete
	chunkHeartbeat
	chunkHeartbeatAck
)

// sctpRow returns the row of a chunk type; ok is false for chunks that change nothing, like DATA.
func sctpRow(ch packet.SCTPChunk) (row int, ok bool) {
	switch ch {
	case packet.SCTPInit:
		return chunkInit, true
	case packet.SCTPInitAck:
		return chunkInitAck, true
	case packet.SCTPAbort:
		return chunkAbort, true
	case packet.SCTPShutdown:
		return chunkShutdown, true
	case packet.SCTPShutdownAck:
		return chunkShutdownAck, true
	case packet.SCTPError:
		return chunkError, true
	case packet.SCTPCookieEcho:
		return chunkCookieEcho, true
	case packet.SCTPCookieAck:
		return chunkCookieAck, true
	case packet.SCTPShutdownComplete:
		return chunkShutdownComplete, true
	case packet.SCTPHeartbeat:
		return chunkHeartbeat, true
	case packet.SCTPHeartbeatAck:
		return chunkHeartbeatAck, true
	}
	return 0, false
}

// sctpPacket is the machine of SCTP (nf_conntrack_proto_sctp.c, nf_conntrack_sctp_packet). Verification tags are not
// modelled, and a packet counts by its first chunk. DATA makes no entry: a flow must begin with INIT, a heartbeat or
// another chunk that has a meaning out of the blue.
func (t *Table) sctpPacket(now time.Duration, c *Conn, info Info, p *packet.Packet, j *journal.Journal) answer {
	row, known := sctpRow(p.SCTPChunk)
	if !c.Status.Has(Confirmed) && c.State == SCTPNone {
		switch {
		case !known, p.SCTPChunk == packet.SCTPAbort, p.SCTPChunk == packet.SCTPShutdownComplete, p.SCTPChunk == packet.SCTPCookieAck:
			return packetInvalid
		}
	}
	old, next, dir := c.State, c.State, 0
	if info.IsReply() {
		dir = 1
	}
	if known {
		next = sctpNext[dir][row][old]
	}
	if next == sctpInvalid {
		return packetInvalid
	}
	c.State = next
	if old != next && next == SCTPEstablished {
		c.Status |= Assured
	}
	if p.SCTPChunk == packet.SCTPInit && old == SCTPClosed && next == SCTPClosed && c.Status.Has(Confirmed) {
		return packetValid // repeated INITs do not keep an entry alive
	}
	t.refresh(now, c, t.cfg.Timeouts.SCTP[next], j)
	return packetValid
}
