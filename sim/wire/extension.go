package wire

import (
	"encoding/binary"

	"github.com/svclab/svclab/datapath/packet"
)

// The extension headers that stand between an IPv6 header and the transport's (RFC 8200, section 4; RFC 4302).
const (
	hopByHop           = 0
	routing            = 43
	fragmentHeader     = 44
	authentication     = 51
	destinationOptions = 60
)

// maxExtensions is how many extension headers are followed.
const maxExtensions = 16

// extension is what the extension headers of a packet come to.
type extension struct {
	bytes    int
	proto    packet.Protocol
	fragment uint16 // offset, in units of 8 bytes
	more     bool
}

// extensions walks the extension headers at the beginning of b, as ipv6_find_hdr does (net/ipv6/exthdrs_core.c); offset is where b
// stands in the frame. It stops at the fragment header of a later fragment.
func extensions(next uint8, b []byte, offset int) (x extension, err error) {
	for range maxExtensions {
		x.proto = packet.Protocol(next)
		length := 0
		rest := b[x.bytes:]
		switch next {
		case hopByHop, routing, destinationOptions, authentication, fragmentHeader:
			if len(rest) < 8 {
				return x, &DecodeError{Header: "IPv6 extension", At: offset + x.bytes, Need: 8, Have: len(rest)}
			}
			length = 8 * (int(rest[1]) + 1)
		default:
			return x, nil
		}
		switch next {
		case authentication:
			length = 4 * (int(rest[1]) + 2)
		case fragmentHeader:
			length = 8
			v := binary.BigEndian.Uint16(rest[2:])
			x.fragment, x.more = v>>3, v&1 != 0
		}
		if len(rest) < length {
			return x, &DecodeError{Header: "IPv6 extension", At: offset + x.bytes, Need: length, Have: len(rest)}
		}
		next = rest[0]
		x.bytes += length
		if x.fragment != 0 {
			x.proto = packet.Protocol(next)
			return x, nil
		}
	}
	return x, &DecodeError{Header: "IPv6 extension", At: offset + x.bytes, Why: "too many of them"}
}
