package wire

import (
	"encoding/binary"
	"hash/fnv"

	"github.com/svclab/svclab/datapath/packet"
)

// Fingerprint is a sum over what routers and translation leave of a packet as it is, given from its IP header on: identification,
// protocol, and the transport header and payload without ports and checksum. Two sights of one packet have the same; two packets of
// TCP hardly ever have. It is false where the headers are cut off, and for ICMP errors, the insides of which are translated.
func Fingerprint(ip []byte) (sum uint64, ok bool) {
	var d Decoder
	p, err := d.Decode(Raw, ip)
	if err != nil || p.IsICMPError() {
		return 0, false
	}
	ip = ip[:min(len(ip), int(p.LengthBytes))]
	h := fnv.New64a()
	transport := 40
	if p.Family() == packet.IPv4 {
		transport = int(ip[0]&15) * 4
		_, _ = h.Write(ip[4:6])
	} else {
		x, _ := extensions(ip[6], ip[40:], 0)
		transport += x.bytes
	}
	_, _ = h.Write([]byte{uint8(p.Proto)})
	_, _ = h.Write(binary.BigEndian.AppendUint32(nil, p.LengthBytes))
	t := ip[transport:]
	from := 0
	switch transportOf(&p) {
	case packet.TCP:
		_, _ = h.Write(t[4:16])
		from = 18
	case packet.UDP:
		from = 8
	case packet.SCTP:
		_, _ = h.Write(t[4:8])
		from = 12
	case packet.ICMP, packet.ICMPv6:
		_, _ = h.Write(t[:2])
		from = 6 // behind checksum and identifier
	}
	_, _ = h.Write(t[min(from, len(t)):])
	return h.Sum64(), true
}
