package conntrack

import (
	"errors"
	"fmt"

	"github.com/svclab/svclab/datapath/packet"
)

// Why an entry could not be inserted.
var (
	ErrExists = errors.New("an entry with this tuple exists")
	ErrFull   = errors.New("the table is full")
	ErrTuple  = errors.New("a tuple needs two addresses")
)

// EntryError reports an entry that could not be inserted.
type EntryError struct {
	Entry packet.Tuple // the tuple at fault
	Err   error        // ErrExists, ErrFull or ErrTuple
}

func (e *EntryError) Error() string { return fmt.Sprintf("conntrack entry %s: %v", e.Entry, e.Err) }

// Unwrap returns the reason.
func (e *EntryError) Unwrap() error { return e.Err }

// ParseError reports a line of a conntrack listing that is not understood.
type ParseError struct {
	File string // as given by the caller
	Line int    // from 1
	Text string // the word or line at fault, shortened
	Err  string // what is wrong with it
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("%s:%d: %s: %q", e.File, e.Line, e.Err, e.Text)
}
