package ipvs

import (
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// The states of SCTP entries (include/net/ip_vs.h, IP_VS_SCTP_S_*), in the order of the columns of sctpTable.
const (
	sctpNone State = iota
	sctpInit1
	sctpInit
	sctpCookieSent
	sctpCookieReplied
	sctpCookieWait
	sctpCookie
	sctpCookieEchoed
	sctpEstablished
	sctpShutdownSent
	sctpShutdownReceived
	sctpShutdownAckSent
	sctpRejected
	sctpClosed
	sctpStates
)

var sctpNames = [sctpStates]string{"NONE", "INIT1", "INIT", "C-SENT", "C-REPLIED", "C-WAIT", "COOKIE", "C-ECHOED",
	"ESTABLISHED", "S-SENT", "S-RECEIVED", "S-ACK-SENT", "REJECTED", "CLOSED"}

// The events of the table's rows.
const (
	eventData = iota // DATA, SACK, HEARTBEAT and whatever is not named below
	eventInit
	eventInitAck
	eventCookieEcho
	eventCookieAck
	eventShutdown
	eventShutdownAck
	eventShutdownComplete
	eventError
	eventAbort
	sctpEvents
)

func sctpEvent(c packet.SCTPChunk) int {
	switch c {
	case packet.SCTPInit:
		return eventInit
	case packet.SCTPInitAck:
		return eventInitAck
	case packet.SCTPCookieEcho:
		return eventCookieEcho
	case packet.SCTPCookieAck:
		return eventCookieAck
	case packet.SCTPShutdown:
		return eventShutdown
	case packet.SCTPShutdownAck:
		return eventShutdownAck
	case packet.SCTPShutdownComplete:
		return eventShutdownComplete
	case packet.SCTPError:
		return eventError
	case packet.SCTPAbort:
		return eventAbort
	}
	return eventData
}

// sctpTable gives the next state, by direction, event and state (net/netfilter/ipvs/ip_vs_proto_sctp.c, sctp_states).
var sctpTable = [3][sctpEvents][sctpStates]State{
	fromClient: {
		eventData:             sctpRow("ES I1 IN CS CR CW CO CE ES SS SR SA RJ CL"),
		eventInit:             sctpRow("I1 IN IN CS CR CW CO CE ES SS SR SA IN IN"),
		eventInitAck:          sctpRow("CW CW CW CS CR CO CO CE ES SS SR SA RJ CL"),
		eventCookieEcho:       sctpRow("CR IN IN CR CR CW CO CE ES SS SR SA RJ CL"),
		eventCookieAck:        sctpRow("ES I1 IN CS CR CW CO ES ES SS SR SA RJ CL"),
		eventShutdown:         sctpRow("SR I1 IN CS CR CW CO CE SR SS SR SA RJ CL"),
		eventShutdownAck:      sctpRow("CL IN IN CS CR CW CO CE ES CL SR CL RJ CL"),
		eventShutdownComplete: sctpRow("CL CL CL CS CR CW CO CE ES SS SR CL RJ CL"),
		eventError:            sctpRow("CL I1 IN CS CR CW CO CL ES SS SR SA RJ CL"),
		eventAbort:            sctpRow("CL CL CL CL CL RJ CL CL CL CL CL CL CL CL"),
	},
	fromServer: {
		eventData:             sctpRow("ES I1 IN CS CR CW CO CE ES SS SR SA RJ CL"),
		eventInit:             sctpRow("CW CW CW CW CW CW CW CW ES CW CW CW CW CW"),
		eventInitAck:          sctpRow("CS CS CS CS CR CW CO CE ES SS SR SA RJ CL"),
		eventCookieEcho:       sctpRow("CE CE CE CE CE CE CE CE ES SS SR SA RJ CL"),
		eventCookieAck:        sctpRow("ES ES ES ES ES ES ES ES ES SS SR SA RJ CL"),
		eventShutdown:         sctpRow("SS SS SS SS SS SS SS SS SS SS SR SA RJ CL"),
		eventShutdownAck:      sctpRow("SA SA SA SA SA CW CO CE ES SA SA SA RJ CL"),
		eventShutdownComplete: sctpRow("CL I1 IN CS CR CW CO CE ES SS SR SA RJ CL"),
		eventError:            sctpRow("CL CL CL CL CL CW CO CE ES SS SR SA RJ CL"),
		eventAbort:            sctpRow("CL RJ CL CL CL CL CL CL CL CL CL CL CL CL"),
	},
	fromClientOnly: {
		eventData:             sctpRow("ES I1 IN CS CR ES CO CE ES SS SR SA RJ CL"),
		eventInit:             sctpRow("I1 IN IN IN IN IN CO CE ES SS SR SA IN IN"),
		eventInitAck:          sctpRow("CE CE CE CE CE CE CO CE ES SS SR SA RJ CL"),
		eventCookieEcho:       sctpRow("ES ES ES ES ES ES CO CE ES SS SR SA RJ CL"),
		eventCookieAck:        sctpRow("ES I1 IN ES ES CW ES ES ES SS SR SA RJ CL"),
		eventShutdown:         sctpRow("SR I1 IN CS CR CW CO CE SR SS SR SA RJ CL"),
		eventShutdownAck:      sctpRow("CL IN IN CS CR CW CO CE CL CL SR CL RJ CL"),
		eventShutdownComplete: sctpRow("CL CL CL CL CL CW CO CE ES SS CL CL RJ CL"),
		eventError:            sctpRow("CL I1 IN CS CR CW CO CE ES SS SR SA RJ CL"),
		eventAbort:            sctpRow("CL CL CL CL CL RJ CL CL CL CL CL CL CL CL"),
	},
}

func sctpRow(s string) [sctpStates]State {
	return [sctpStates]State(stateRow(s, "NO I1 IN CS CR CW CO CE ES SS SR SA RJ CL"))
}

func sctpNext(dir direction, c packet.SCTPChunk, s State) State {
	return sctpTable[dir][sctpEvent(c)][s]
}

func sctpTimeout(s State) time.Duration {
	switch s {
	case sctpNone:
		return 2 * time.Second
	case sctpInit1, sctpRejected:
		return 4 * time.Second
	case sctpEstablished:
		return 15 * time.Minute
	}
	return 61 * time.Second // the longest retransmission timeout and a second
}
