package packet

import (
	"fmt"
	"strconv"
	"strings"
)

// Protocol is an IANA protocol number. The zero value means "any protocol" in rules and is invalid in packets.
type Protocol uint8

// The protocols this project knows by name.
const (
	ICMP   Protocol = 1
	TCP    Protocol = 6
	UDP    Protocol = 17
	ICMPv6 Protocol = 58
	SCTP   Protocol = 132
)

func (p Protocol) String() string {
	switch p {
	case ICMP:
		return "icmp"
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case ICMPv6:
		return "ipv6-icmp"
	case SCTP:
		return "sctp"
	}
	return strconv.Itoa(int(p))
}

// HasPorts reports whether headers of the protocol begin with a source and a destination port.
func (p Protocol) HasPorts() bool { return p == TCP || p == UDP || p == SCTP }

// ParseTransport reads "tcp", "udp" or "sctp" in either case.
func ParseTransport(s string) (Protocol, error) {
	switch strings.ToLower(s) {
	case "tcp":
		return TCP, nil
	case "udp":
		return UDP, nil
	case "sctp":
		return SCTP, nil
	}
	return 0, fmt.Errorf("unknown transport protocol %q: tcp, udp and sctp are known", s)
}

// TCPFlags is the flag byte of a TCP header (RFC 9293, section 3.1).
type TCPFlags uint8

// The flags, by their bit.
const (
	FIN TCPFlags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
)

// Has reports whether all of the given flags are set.
func (f TCPFlags) Has(g TCPFlags) bool { return f&g == g }

func (f TCPFlags) String() string {
	var b []string
	for i, n := range [...]string{"FIN", "SYN", "RST", "PSH", "ACK", "URG"} {
		if f&(1<<i) != 0 {
			b = append(b, n)
		}
	}
	return strings.Join(b, ",")
}

// SCTPChunk is a chunk type (RFC 9260, section 3.2).
type SCTPChunk uint8

// The chunk types that connection tracking and IPVS tell apart.
const (
	SCTPData             SCTPChunk = 0
	SCTPInit             SCTPChunk = 1
	SCTPInitAck          SCTPChunk = 2
	SCTPHeartbeat        SCTPChunk = 4
	SCTPHeartbeatAck     SCTPChunk = 5
	SCTPAbort            SCTPChunk = 6
	SCTPShutdown         SCTPChunk = 7
	SCTPShutdownAck      SCTPChunk = 8
	SCTPError            SCTPChunk = 9
	SCTPCookieEcho       SCTPChunk = 10
	SCTPCookieAck        SCTPChunk = 11
	SCTPShutdownComplete SCTPChunk = 14
)
