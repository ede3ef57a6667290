package sequence

import (
	"strconv"
	"strings"
)

// Error says what is wrong with a sequence and where.
type Error struct {
	File  string
	Step  string // name of the step, "" for the file as a whole
	Index int    // number of the step, 0 for the initial one
	Err   error
}

func (e *Error) Error() string {
	s := e.File
	if e.Step != "" || e.Index > 0 {
		s += ": step " + strconv.Itoa(e.Index) + " " + strconv.Quote(e.Step)
	}
	return s + ": " + strings.ReplaceAll(e.Err.Error(), "\n", " ")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
