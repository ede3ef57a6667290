package ipset

import (
	"errors"
	"strconv"
)

// The refusals that callers decide on.
var (
	// ErrNoSet: no set of that name.
	ErrNoSet = errors.New("the set with the given name does not exist")
	// ErrSetExists: create or rename met a set of that name.
	ErrSetExists = errors.New("set with the same name already exists")
	// ErrEntryExists: add without -exist of an entry that is there.
	ErrEntryExists = errors.New("element cannot be added to the set: it's already added")
	// ErrNoEntry: del without -exist, or test, of an entry that is not there.
	ErrNoEntry = errors.New("element is not in the set")
	// ErrFull: the set holds maxelem entries.
	ErrFull = errors.New("hash is full, cannot add more elements")
	// ErrInUse: a rule or a list names the set.
	ErrInUse = errors.New("set is in use by a kernel component")
	// ErrTypeMismatch: the sets to be swapped are of different types.
	ErrTypeMismatch = errors.New("the sets cannot be swapped: their type does not match")
)

// CommandError is a command that was refused, with its place in the text.
type CommandError struct {
	File    string
	Line    int    // from 1; 0 when it is not of a text
	Command string // as given
	Err     error
}

func (e *CommandError) Error() string {
	s := ""
	if e.File != "" {
		s = e.File + ":"
	}
	if e.Line > 0 {
		s += strconv.Itoa(e.Line) + ":"
	}
	if s != "" {
		s += " "
	}
	c := e.Command
	if len(c) > 120 {
		c = c[:120] + "…"
	}
	return s + strconv.Quote(c) + ": " + e.Err.Error()
}

// Unwrap returns the reason.
func (e *CommandError) Unwrap() error { return e.Err }

// SyntaxError is a part of a command that cannot be read.
type SyntaxError struct{ What, Input, Reason string }

func (e *SyntaxError) Error() string {
	in := e.Input
	if len(in) > 120 {
		in = in[:120] + "…"
	}
	return e.What + " " + strconv.Quote(in) + ": " + e.Reason
}
