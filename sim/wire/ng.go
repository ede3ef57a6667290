package wire

import "time"

// The blocks of pcapng (draft-ietf-opsawg-pcapng, section 4) that are written or read.
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacket    = 2 // obsolete
	blockSimple    = 3
	blockNames     = 4
	blockEnhanced  = 6

	byteOrderMagic = 0x1a2b3c4d
)

// Options of any block, of sections, of interfaces and of packets.
const (
	optEnd         = 0
	optComment     = 1
	optApplication = 4
	optName        = 2
	optDescription = 3
	optResolution  = 9
	optOffset      = 14
	optFlags       = 2
	optPacketID    = 5
)

// Records of a name resolution block (section 4.5).
const (
	namesIPv4 = 1
	namesIPv6 = 2
)

// Bounds on what is read.
const (
	MaxBlockBytes = 256 << 10 // of a block of pcapng, or a record of pcap
	MaxInterfaces = 1024      // in one section of a pcapng
)

// Direction is which way a packet passes the interface it was captured on.
type Direction uint8

// The directions. The zero value is unknown.
const (
	DirectionUnknown Direction = iota
	Inbound
	Outbound
)

// Interface is where packets of a capture were seen.
type Interface struct {
	Name, Description string
	Link              LinkType
	SnapBytes         uint32 // packets are cut behind as many bytes; 0 for never

	// of captures that are read: what a unit of time is
	perSecond uint64 // 10^n; 0 where it is 2^shift
	shift     uint8
	offset    int64 // seconds added to every time
}

// Record is one packet of a capture.
type Record struct {
	At            time.Duration // since 1970, or since the beginning of virtual time
	Interface     int           // index in its section
	Name          string        // of the interface, "" where it has none
	Link          LinkType
	Data          []byte // valid until the next record is read
	OriginalBytes uint32 // before it was cut; at least len(Data)
	Comment       string
	Direction     Direction
	ID            uint64 // the same for one packet seen at several interfaces; 0 for none
}
