package emulator

import (
	"errors"
	"fmt"
	"net/netip"
)

// OutsideError says that an address is none of the emulated ones. Nothing is ever relayed to it.
type OutsideError struct{ Addr netip.Addr }

func (e *OutsideError) Error() string {
	return fmt.Sprintf("%s is not in the emulated cluster, and nothing is relayed to the real network", e.Addr)
}

// NameError says that a name has no address in the cluster.
type NameError struct {
	Name string
	Err  error // of sim/dns
}

func (e *NameError) Error() string { return fmt.Sprintf("%q: %v", e.Name, e.Err) }

// Unwrap returns what the resolver said.
func (e *NameError) Unwrap() error { return e.Err }

// InputError says what a user asked for that cannot be.
type InputError struct {
	What string // the flag or word: "--backend", "endpoint"
	Text string // as given
	Why  string
}

func (e *InputError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("%s: %s", e.What, e.Why)
	}
	return fmt.Sprintf("%s: %q %s", e.What, e.Text, e.Why)
}

// ErrClosed is the answer to calls on an emulator that has ended.
var ErrClosed = errors.New("the emulator has ended")
