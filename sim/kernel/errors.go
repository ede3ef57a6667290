package kernel

import (
	"fmt"
	"net/netip"

	"github.com/svclab/svclab/datapath/packet"
)

// UnsupportedError says that a vehicle cannot carry out an operation.
type UnsupportedError struct {
	Op  string // as a command line
	Why string
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%q cannot be done here: %s", e.Op, e.Why)
}

// PortsExhaustedError says that a client address has no source port left that was not used within PortRest.
type PortsExhaustedError struct {
	Proto packet.Protocol
	Src   netip.Addr
	Dst   netip.AddrPort
}

func (e *PortsExhaustedError) Error() string {
	return fmt.Sprintf("no source port of %s towards %s %s was at rest for %s: use more client addresses", e.Src, e.Proto, e.Dst, PortRest)
}

// PortReusedError says that a flow asks for a source port that was used within PortRest.
type PortReusedError struct {
	ID    uint64
	Tuple packet.Tuple
}

func (e *PortReusedError) Error() string {
	return fmt.Sprintf("flow %d: %s was used less than %s ago", e.ID, e.Tuple, PortRest)
}

// FlowError is a flow that cannot be sent.
type FlowError struct {
	ID  uint64
	Why string
}

func (e *FlowError) Error() string { return fmt.Sprintf("flow %d: %s", e.ID, e.Why) }
