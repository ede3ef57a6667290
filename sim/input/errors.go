package input

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// ErrNotInput means that a file is neither YAML or JSON manifests nor a dump this project reads.
var ErrNotInput = errors.New("neither YAML nor a dump")

// Position is a place in a file. Line and Col count from 1, Col in characters; zero means unknown.
type Position struct {
	File      string
	Line, Col int
}

// String is file:line:col, without the parts that are unknown.
func (p Position) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Col == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// ParseError is one fault in a file: where, what, and the line it stands in.
type ParseError struct {
	Position
	Msg     string // one sentence without the position; quotes the input
	Snippet string // the source line (cut to a width) and a caret under the fault, or ""
	Err     error  // the cause, when there is one to unwrap
}

// Error is one line: file:line:col: message.
func (e *ParseError) Error() string { return oneLine(e.Position.String() + ": " + e.Msg) }

// Unwrap gives the cause.
func (e *ParseError) Unwrap() error { return e.Err }

// NodeChoiceError means that the local node could not be told: several Nodes and no name, or a name that no Node has.
type NodeChoiceError struct {
	Wanted string   // the name asked for, "" when none was
	From   string   // where the name came from: "--node" or "hostnameOverride"
	Names  []string // the Nodes there are, sorted
}

func (e *NodeChoiceError) Error() string {
	if e.Wanted == "" {
		return fmt.Sprintf("%d Nodes and no hostnameOverride: choose the local one with --node: %s", len(e.Names), strings.Join(e.Names, ", "))
	}
	return fmt.Sprintf("no Node is named %q (%s); there are: %s", e.Wanted, e.From, strings.Join(e.Names, ", "))
}

// Warning is something that deserves a second look but does not stop kube-proxy.
type Warning struct {
	Position
	Msg string
}

// String is one line: file:line:col: warning: message.
func (w Warning) String() string { return oneLine(w.Position.String() + ": warning: " + w.Msg) }

// Errors is a list of faults, in the order of the input. Its text is the first one and the number of the others.
type Errors []error

func (e Errors) Error() string {
	switch len(e) {
	case 0:
		return "no error"
	case 1:
		return e[0].Error()
	}
	return fmt.Sprintf("%v (and %d more)", e[0], len(e)-1)
}

// Unwrap gives every fault.
func (e Errors) Unwrap() []error { return e }

// quote quotes a piece of input for a message, cut to a readable length, control characters escaped.
func quote(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) > most {
		n := 0
		for i := range s {
			if n == most {
				return fmt.Sprintf("%q…", s[:i])
			}
			n++
		}
	}
	return fmt.Sprintf("%q", s)
}

func oneLine(s string) string {
	if !strings.ContainsAny(s, "\n\r") {
		return s
	}
	return strings.NewReplacer("\r", " ", "\n", " ").Replace(s)
}

// errorAt makes a ParseError for a byte of the file.
func (f *file) errorAt(offset int, format string, args ...any) *ParseError {
	return f.fault(f.place(offset), format, args...)
}

// fault makes a ParseError for a place in the file.
func (f *file) fault(p Position, format string, args ...any) *ParseError {
	e := &ParseError{Position: p, Msg: fmt.Sprintf(format, args...)}
	if p.Line > 0 {
		e.Snippet = f.snippet(p.Line, p.Col)
	}
	return e
}

func warningf(p Position, format string, args ...any) Warning {
	return Warning{Position: p, Msg: fmt.Sprintf(format, args...)}
}
