package run

import (
	"fmt"
	"strings"
)

// InputError is something wrong with what was asked for: a flag, an address, a Service that is not there.
type InputError struct {
	What string // the flag or field
	Text string // as given
	Why  string
}

func (e *InputError) Error() string {
	if e.Text == "" {
		return e.What + ": " + e.Why
	}
	return fmt.Sprintf("%s %q: %s", e.What, e.Text, e.Why)
}

// UnknownError is a name that nothing has, with the nearest names that something has.
type UnknownError struct {
	What    string // "Service", "profile"
	Name    string
	Nearest []string
}

func (e *UnknownError) Error() string {
	s := fmt.Sprintf("no %s is named %q", e.What, e.Name)
	if len(e.Nearest) > 0 {
		s += "; did you mean " + strings.Join(e.Nearest, ", ") + "?"
	}
	return s
}

// WorldError is something in a scenario that a world does not have.
type WorldError struct {
	World string
	What  string // "SCTP"
	At    error  // with its place
}

func (e *WorldError) Error() string {
	return fmt.Sprintf("the %s world has no %s: %v", e.World, e.What, e.At)
}

func (e *WorldError) Unwrap() error { return e.At }
