package ipvs

import (
	"time"

	"github.com/svclab/svclab/datapath/journal"
	"github.com/svclab/svclab/datapath/packet"
)

// State is a state of an entry's protocol. 0 is NONE for TCP and SCTP; UDP has one state.
type State uint8

// templateAssured marks a template one of whose connections was established (IP_VS_CTPL_S_ASSURED).
const templateAssured State = 1

// direction tells where a packet comes from, as the state tables distinguish it.
type direction uint8

const (
	fromClient direction = iota
	fromServer
	fromClientOnly // from the client, while replies do not pass here
)

func stateName(p packet.Protocol, s State) string {
	switch p {
	case packet.TCP:
		return tcpNames[s]
	case packet.UDP:
		return "UDP"
	case packet.SCTP:
		return sctpNames[s]
	}
	return "NONE"
}

// advance is the state transition of one packet: it moves the entry between the server's counters and sets the timeout that
// the timer is restarted with. The caller has saved the entry.
func (t *Table) advance(j *journal.Journal, c *Conn, dir direction, p *packet.Packet) {
	var next State
	var active bool
	var timeout time.Duration
	if c.Proto == packet.UDP {
		c.Timeout = t.timeouts.UDP
		if dir == fromServer {
			t.assure(j, c)
		}
		return
	}
	if c.NoOutput {
		if dir == fromServer {
			c.NoOutput = false
		} else {
			dir = fromClientOnly
		}
	}
	switch c.Proto {
	case packet.TCP:
		next = tcpNext(dir, p.TCPFlags, c.State)
		active = tcpActive(next)
		timeout = t.tcpTimeout(next)
	case packet.SCTP:
		next = sctpNext(dir, p.SCTPChunk, c.State)
		active = next == sctpEstablished
		timeout = sctpTimeout(next)
	default:
		return
	}
	if next != c.State && c.Dest != nil && active == c.Inactive {
		saveDest(j, c.Dest)
		c.Inactive = !active
		if active {
			c.Dest.Active++
			c.Dest.Inactive--
		} else {
			c.Dest.Active--
			c.Dest.Inactive++
		}
	}
	c.State = next
	c.Timeout = timeout
	if c.Proto == packet.TCP && next == tcpEstablished || c.Proto == packet.SCTP && next == sctpEstablished {
		t.assure(j, c)
	}
}

// assure notes on a template that a connection under it works (ip_vs_control_assure_ct).
func (t *Table) assure(j *journal.Journal, c *Conn) {
	if ct := c.Control; ct != nil && ct.Template && ct.State != templateAssured {
		t.saveConn(j, ct)
		ct.State = templateAssured
	}
}
