package box

import (
	"net/netip"
	"time"
)

// Exchange is one conversation of a client: for TCP, connect, read what the server says first, and close by a reset; for UDP,
// send one datagram and wait for the answer.
type Exchange struct {
	UDP           bool
	Local, Remote netip.AddrPort
	Payload       []byte        // of the datagram; TCP sends none
	Timeout       time.Duration // of connecting and of the answer, each
	Hold          time.Duration // how long a TCP connection stays open after the answer
	FIN           bool          // close by FIN and not by a reset
}

// Failure is why an exchange brought no answer.
type Failure string

// The failures, by what the client's socket reported.
const (
	None               Failure = ""
	Refused            Failure = "refused"             // ECONNREFUSED: a reset, or ICMP port unreachable
	HostUnreachable    Failure = "host unreachable"    // EHOSTUNREACH
	NetworkUnreachable Failure = "network unreachable" // ENETUNREACH
	NotPermitted       Failure = "not permitted"       // EPERM: a rule of the client's own host dropped the datagram on output; EACCES: ICMPv6 prohibited
	Timeout            Failure = "timeout"             // nothing came
	Reset              Failure = "reset"               // ECONNRESET after the handshake
	NoAnswer           Failure = "no answer"           // connected, and then nothing came, or an end of file
	NotSent            Failure = "not sent"            // the client could not make or bind its socket
)

// Dropped reports whether the client learnt nothing from the network: what it sent was dropped somewhere, for all it knows.
func (f Failure) Dropped() bool { return f == Timeout || f == NotPermitted }

// ExchangeResult is what became of an Exchange.
type ExchangeResult struct {
	Answer  []byte // the client's until its next exchange
	Failure Failure
	Errno   string // name of the system call's error, "ECONNREFUSED"; "" without
	// Retransmits, SegmentsOut and SegmentsIn are of the TCP socket before it is closed (struct tcp_info); they do not
	// count the reset that closes it. Zero when the connection never came about.
	Retransmits, SegmentsOut, SegmentsIn uint32
	Start                                time.Duration // when the socket was ready to send, from the client's Since
	// Connect is from the first packet to the handshake's end (TCP) or the answer (UDP); zero where the answer was there at once, and
	// a look at the clock is dear (NewClient with a server).
	Connect time.Duration
}
