package box

import (
	"net/netip"
	"time"
)

// ConnectBlock is a number of TCP connections that are opened one after another between two reads of the clock: where a read is
// dear, as in User Mode Linux, one for each connection would be most of what is measured. Sockets are made before and closed
// after, by a reset.
type ConnectBlock struct {
	Local    netip.Addr
	Remote   netip.AddrPort
	Connects int
}

// BlockResult is what one block took.
type BlockResult struct {
	PerConnect time.Duration
	Failed     int // connections that did not come about: the time says nothing then
}
