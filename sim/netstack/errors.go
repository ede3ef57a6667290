package netstack

import (
	"errors"
	"fmt"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/svclab/svclab/datapath/packet"
)

// What sockets are told, in the words of the C library.
var (
	ErrRefused            = errors.New("connection refused")
	ErrReset              = errors.New("connection reset by peer")
	ErrHostUnreachable    = errors.New("no route to host")
	ErrNetworkUnreachable = errors.New("network is unreachable")
	ErrTimedOut           = errors.New("connection timed out")
	ErrInUse              = errors.New("address already in use")
	ErrNotAvailable       = errors.New("cannot assign requested address")
	ErrNoProtocol         = errors.New("protocol not available")
)

// UnsupportedError says that the stacks do not speak something: SCTP, for one. It is an answer, not a fault of the input.
type UnsupportedError struct {
	What string
}

func (e *UnsupportedError) Error() string {
	return e.What + " is not spoken by the stacks of the netstack world"
}

// AddressError says that an address cannot be used as asked.
type AddressError struct {
	Op      string // "add host", "open", "listen"
	Address string
	Reason  string
}

func (e *AddressError) Error() string {
	return fmt.Sprintf("netstack: %s %q: %s", e.Op, e.Address, e.Reason)
}

// SocketError is what a socket call came to, in the stack's own words.
type SocketError struct {
	Op     string // "bind", "connect", "listen", "write"
	Proto  packet.Protocol
	At     netip.AddrPort
	Reason string
}

func (e *SocketError) Error() string {
	return fmt.Sprintf("netstack: %s %s %s: %s", e.Op, e.Proto, e.At, e.Reason)
}

func socketError(op string, proto packet.Protocol, at netip.AddrPort, err tcpip.Error) error {
	return &SocketError{Op: op, Proto: proto, At: at, Reason: err.String()}
}
