package datapath

import "fmt"

// OpError says which operation of a list failed.
type OpError struct {
	Index int // position in the list, from 0
	Op    Op
	Err   error
}

func (e *OpError) Error() string { return fmt.Sprintf("%s: %v", e.Op.Command(), e.Err) }

// Unwrap returns the reason.
func (e *OpError) Unwrap() error { return e.Err }

// UnsupportedOpError says that a node does not know an operation.
type UnsupportedOpError struct{ Op Op }

func (e *UnsupportedOpError) Error() string {
	return fmt.Sprintf("operation %T is not modelled", e.Op)
}
