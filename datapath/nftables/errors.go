package nftables

import (
	"errors"
	"strconv"
)

// PositionError says where in a text something is wrong.
type PositionError struct {
	File string
	Line int // from 1
	Err  error
}

func (e *PositionError) Error() string {
	return e.File + ":" + strconv.Itoa(e.Line) + ": " + e.Err.Error()
}

// Unwrap returns what is wrong there.
func (e *PositionError) Unwrap() error { return e.Err }

// SyntaxError is text that is no nft.
type SyntaxError struct {
	Text string // the word, "" at the end of a line or of the text
	Want string
}

func (e *SyntaxError) Error() string {
	what := strconv.Quote(e.Text)
	if e.Text == "" {
		what = "end"
	}
	return "unexpected " + what + ", want " + e.Want
}

// ValueError is a word that is no value of the type asked for.
type ValueError struct {
	Text string
	Type DataType
}

func (e *ValueError) Error() string {
	return strconv.Quote(e.Text) + " is no " + string(e.Type)
}

// UnsupportedError is nft that this package does not model.
type UnsupportedError struct{ Construct string }

func (e *UnsupportedError) Error() string {
	return "nftables: " + strconv.Quote(e.Construct) + " is not modelled"
}

// NotFoundError says that a command names something that does not exist (ENOENT).
type NotFoundError struct{ Kind, Name string }

func (e *NotFoundError) Error() string {
	return "no " + e.Kind + " " + strconv.Quote(e.Name) + ": No such file or directory"
}

// ExistsError says that something exists already, and is not what the command would make (EEXIST).
type ExistsError struct{ Kind, Name string }

func (e *ExistsError) Error() string {
	return e.Kind + " " + strconv.Quote(e.Name) + ": File exists"
}

// HookError says that a base chain exists with another type, hook or priority, which cannot be changed (EOPNOTSUPP).
type HookError struct{ Chain string }

func (e *HookError) Error() string {
	return "chain " + strconv.Quote(e.Chain) + " is attached otherwise: Operation not supported"
}

// BusyError says that something cannot be deleted while rules or elements lead to it (EBUSY).
type BusyError struct{ Kind, Name string }

func (e *BusyError) Error() string {
	return e.Kind + " " + strconv.Quote(e.Name) + ": Device or resource busy"
}

// LoopError says that chains that a hook leads to call each other in a circle, or too deeply; to the kernel the two are one
// (EMLINK).
type LoopError struct {
	Chain  string
	Circle bool
}

func (e *LoopError) Error() string {
	if e.Circle {
		return "chain " + strconv.Quote(e.Chain) + " leads back to itself: Too many links"
	}
	return "chain " + strconv.Quote(e.Chain) + " leads through more than " + strconv.Itoa(maxDepth) + " jumps: Too many links"
}

// IsNotFound reports whether a transaction failed because something does not exist.
func IsNotFound(err error) bool {
	var e *NotFoundError
	return errors.As(err, &e)
}

// FullError says that a set holds as many elements as its size allows (ENFILE).
type FullError struct{ Name string }

func (e *FullError) Error() string {
	return "set " + strconv.Quote(e.Name) + ": Too many open files in system"
}
