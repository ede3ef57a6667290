package wire

import (
	"encoding/binary"

	"github.com/svclab/svclab/datapath/packet"
)

// chunk is one SCTP chunk of a type that fills n bytes, or as many as the type needs (RFC 9260, section 3.3).
func (e *Encoder) chunk(t packet.SCTPChunk, n int) []byte {
	least := 4
	switch t {
	case packet.SCTPData:
		least = 16 + 4 // user data may not be empty
	case packet.SCTPInit, packet.SCTPInitAck:
		least = 20
	case packet.SCTPShutdown:
		least = 8
	}
	n = max(n, least)
	b := make([]byte, n)
	b[0] = uint8(t)
	binary.BigEndian.PutUint16(b[2:], uint16(n))
	switch t {
	case packet.SCTPData:
		b[1] = 3 // first and last fragment of a message
	case packet.SCTPInit, packet.SCTPInitAck:
		binary.BigEndian.PutUint32(b[4:], 1)      // initiate tag, never 0
		binary.BigEndian.PutUint32(b[8:], 106496) // advertised receiver window
		binary.BigEndian.PutUint16(b[12:], 10)    // outbound streams
		binary.BigEndian.PutUint16(b[14:], 10)    // inbound streams
		if t == packet.SCTPInit {
			parameter(b[20:], 0x8005) // padding (RFC 4820)
		} else {
			parameter(b[20:], 7) // state cookie
		}
	case packet.SCTPHeartbeat, packet.SCTPHeartbeatAck:
		parameter(b[4:], 1) // heartbeat information
	case packet.SCTPError, packet.SCTPAbort:
		parameter(b[4:], 13) // cause: protocol violation
	}
	return b
}

// parameter makes one parameter of the whole of b; too little room for one is left empty.
func parameter(b []byte, typ uint16) {
	if len(b) < 4 {
		return
	}
	binary.BigEndian.PutUint16(b, typ)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
}
