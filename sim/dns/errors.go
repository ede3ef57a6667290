package dns

import (
	"errors"
	"fmt"
)

// ErrLoop means that names lead to each other through two zones without end; CoreDNS would recurse until it dies.
var ErrLoop = errors.New("external names lead to each other without end")

// CorefileError is a fault of a Corefile that CoreDNS refuses too.
type CorefileError struct {
	File string // what the Corefile is called in messages
	Line int    // counted from 1 within the Corefile
	Msg  string // one sentence, quoting the input
}

func (e *CorefileError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg) }

// UnsupportedError is a construct of a Corefile that CoreDNS takes and this package does not model.
type UnsupportedError struct {
	File      string
	Line      int
	Construct string // "plugin rewrite", "kubernetes: multicluster"
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%s:%d: %s is not modelled", e.File, e.Line, e.Construct)
}

// PodError means that the Pod a lookup is made from is not among the objects.
type PodError struct {
	Namespace, Name string
	Others          []string // Pods of that namespace, or all when it has none
}

func (e *PodError) Error() string {
	s := fmt.Sprintf("no Pod %s/%s in the input", e.Namespace, e.Name)
	for i, o := range e.Others {
		switch {
		case i == 0:
			s += "; there are: " + o
		case i == 10:
			return s + ", …"
		default:
			s += ", " + o
		}
	}
	return s
}
