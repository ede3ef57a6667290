package record

import (
	"errors"
	"fmt"
)

// Reasons for which a recording cannot be read or played.
var (
	ErrNotRecording = errors.New("not a kernel recording: a JSON object with name, kernel and events is expected")
	ErrOtherFormat  = errors.New("a recording of another kind or version")
	ErrBadEvent     = errors.New("not an event of this format")
)

// EventError is a place in a recording that cannot be read or played.
type EventError struct {
	Name  string // of the recording
	Index int    // of the event from 0, -1 for the header
	Text  string // the event as recorded, shortened
	Err   error
}

func (e *EventError) Error() string {
	if e.Index < 0 {
		return fmt.Sprintf("%s: %s: %v", e.Name, e.Text, e.Err)
	}
	return fmt.Sprintf("%s: event %d: %s: %v", e.Name, e.Index, e.Text, e.Err)
}

// Unwrap returns the reason.
func (e *EventError) Unwrap() error { return e.Err }

const maxQuote = 160 // bytes of an event that an error quotes

func quote(b []byte) string {
	if len(b) > maxQuote {
		return string(b[:maxQuote]) + "…"
	}
	return string(b)
}
