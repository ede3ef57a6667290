package ipvs

import (
	"strings"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// The states of TCP entries (include/net/ip_vs.h, IP_VS_TCP_S_*), in the order of the columns of tcpTable.
const (
	tcpNone State = iota
	tcpEstablished
	tcpSynSent
	tcpSynRecv
	tcpFinWait
	tcpTimeWait
	tcpClose
	tcpCloseWait
	tcpLastAck
	tcpListen
	tcpSynAck
	tcpStates
)

var tcpNames = [tcpStates]string{"NONE", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT", "TIME_WAIT", "CLOSE",
	"CLOSE_WAIT", "LAST_ACK", "LISTEN", "SYNACK"}

// tcpTable gives the next state, by direction, by class of packet (SYN, FIN, ACK, RST), by state
// (net/netfilter/ipvs/ip_vs_proto_tcp.c, tcp_states).
var tcpTable = [3][4][tcpStates]State{
	fromClient: {
		tcpRow("SR ES ES SR SR SR SR SR SR SR SR"),
		tcpRow("CL CW SS TW TW TW CL CW LA LI TW"),
		tcpRow("ES ES SS ES FW TW CL CW CL LI ES"),
		tcpRow("CL CL CL SR CL CL CL CL LA LI SR"),
	},
	fromServer: {
		tcpRow("SS ES SS SR SS SS SS SS SS LI SR"),
		tcpRow("TW FW SS TW FW TW CL TW LA LI TW"),
		tcpRow("ES ES SS ES FW TW CL CW LA ES ES"),
		tcpRow("CL CL SS CL CL TW CL CL CL CL CL"),
	},
	fromClientOnly: {
		tcpRow("SR ES ES SR SR SR SR SR SR SR SR"),
		tcpRow("CL FW SS TW FW TW CL CW LA LI TW"),
		tcpRow("ES ES SS ES FW TW CL CW CL LI ES"),
		tcpRow("CL CL CL SR CL CL CL CL LA LI CL"),
	},
}

func tcpRow(s string) (row [tcpStates]State) {
	return [tcpStates]State(stateRow(s, "NO ES SS SR FW TW CL CW LA LI SA"))
}

// stateRow reads a row of a state table, written in abbreviations as the kernel's comments do.
func stateRow(row, names string) []State {
	index := strings.Fields(names)
	var out []State
	for _, f := range strings.Fields(row) {
		for i, n := range index {
			if n == f {
				out = append(out, State(i))
			}
		}
	}
	if len(out) != len(index) {
		panic("ipvs: state row " + row)
	}
	return out
}

// tcpNext classifies a packet by its flags, RST before SYN before FIN before ACK; a packet with none of them closes.
func tcpNext(dir direction, f packet.TCPFlags, s State) State {
	class := 0
	switch {
	case f.Has(packet.RST):
		class = 3
	case f.Has(packet.SYN):
	case f.Has(packet.FIN):
		class = 1
	case f.Has(packet.ACK):
		class = 2
	default:
		return tcpClose
	}
	return tcpTable[dir][class][s]
}

func tcpActive(s State) bool {
	return s == tcpEstablished || s == tcpSynSent || s == tcpSynRecv || s == tcpSynAck
}

var tcpTimeouts = [tcpStates]time.Duration{
	tcpNone: 2 * time.Second, tcpEstablished: 15 * time.Minute, tcpSynSent: 2 * time.Minute, tcpSynRecv: time.Minute,
	tcpFinWait: 2 * time.Minute, tcpTimeWait: 2 * time.Minute, tcpClose: 10 * time.Second, tcpCloseWait: time.Minute,
	tcpLastAck: 30 * time.Second, tcpListen: 2 * time.Minute, tcpSynAck: 2 * time.Minute,
}

func (t *Table) tcpTimeout(s State) time.Duration {
	switch s {
	case tcpEstablished:
		return t.timeouts.TCP
	case tcpFinWait:
		return t.timeouts.TCPFIN
	}
	return tcpTimeouts[s]
}
