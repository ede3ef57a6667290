package run

import (
	"fmt"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/wire"
)

// Frame is a packet as bytes.
type Frame struct {
	View  packet.Packet
	Bytes []byte // from its IP header on
}

// ParseFrame reads a packet from hexadecimal digits or a line of tcpdump -x: an Ethernet frame or one from its IP header on. The
// warnings tell what a kernel would have against it before any rule.
func ParseFrame(text string) (*Frame, []string, error) {
	b, err := wire.ParseHex(text)
	if err != nil {
		return nil, nil, fmt.Errorf("--packet: %w", err)
	}
	link := wire.GuessLink(b)
	var d wire.Decoder
	p, err := d.Decode(link, b)
	if err != nil {
		return nil, nil, fmt.Errorf("--packet: %w", err)
	}
	f := &Frame{View: p, Bytes: b[d.IP():]}
	var warnings []string
	if whole := int(p.LengthBytes); whole < len(f.Bytes) {
		f.Bytes = f.Bytes[:whole] // an Ethernet frame is padded to 60 bytes
	} else if whole > len(f.Bytes) {
		warnings = append(warnings, fmt.Sprintf("--packet: %d bytes are there of a packet of %d", len(f.Bytes), whole))
	}
	for _, e := range wire.Checksums(f.Bytes) {
		what := "connection tracking calls it INVALID, which is not modelled"
		if c := e.(*wire.ChecksumError); c.Header == "IPv4" {
			what = "a kernel drops it before any hook, which is not modelled"
		}
		warnings = append(warnings, fmt.Sprintf("--packet: %v: %s", e, what))
	}
	return f, warnings, nil
}
