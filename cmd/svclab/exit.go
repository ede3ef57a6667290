package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/svclab/svclab/datapath/share"
)

// The exit codes of the command-line contract.
const (
	exitOK           = 0
	exitFailed       = 1 // a check failed or a difference was found
	exitInput        = 2 // bad usage or bad input
	exitEnvironment  = 3 // the needed environment is missing
	exitInconclusive = 4 // with --strict
	exitLimit        = 5 // a time, memory or disk limit was hit
	exitInternal     = 70
	exitInterrupted  = 130
	exitTerminated   = 143
)

// codeError carries an exit code; a nil Err says nothing.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *codeError) Unwrap() error { return e.err }

// exit ends a verb with a code and no message of its own: the result has said it.
func exit(code int) error {
	if code == exitOK {
		return nil
	}
	return &codeError{code: code}
}

// codeOf is the exit code of an error. What no other code is for is bad usage or bad input.
func codeOf(err error) int {
	var c *codeError
	var paths *share.TooManyPathsError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &c):
		return c.code
	case errors.As(err, &paths), errors.Is(err, context.DeadlineExceeded):
		return exitLimit
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitInput
}
