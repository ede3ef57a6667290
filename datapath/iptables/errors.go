package iptables

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The refusals that callers decide on. Errors returned by Restore, Exec, ReadDump and Link wrap them.
var (
	// ErrChainExists: a chain of this name exists already.
	ErrChainExists = errors.New("chain already exists")
	// ErrNoChain: the table has no chain of this name.
	ErrNoChain = errors.New("no chain by that name")
	// ErrChainNotEmpty: a chain with rules cannot be deleted.
	ErrChainNotEmpty = errors.New("chain is not empty")
	// ErrTooManyLinks: a chain that rules jump to cannot be deleted.
	ErrTooManyLinks = errors.New("chain is referred to by rules (too many links)")
	// ErrNoRule: no rule of the chain equals the one given.
	ErrNoRule = errors.New("bad rule (does a matching rule exist in that chain?)")
	// ErrNoCommit: a table was opened and not closed by a COMMIT line.
	ErrNoCommit = errors.New("COMMIT expected")
	// ErrNoSet: a rule names an ipset that does not exist.
	ErrNoSet = errors.New("set does not exist")
)

// IsChainExists reports whether a chain could not be made because it exists.
func IsChainExists(err error) bool { return errors.Is(err, ErrChainExists) }

// IsNoChain reports whether a chain was named that does not exist.
func IsNoChain(err error) bool { return errors.Is(err, ErrNoChain) }

// IsNoRule reports whether -D or -C found no equal rule.
func IsNoRule(err error) bool { return errors.Is(err, ErrNoRule) }

// IsTooManyLinks reports whether a chain could not be deleted because it has rules or is jumped to.
func IsTooManyLinks(err error) bool {
	return errors.Is(err, ErrTooManyLinks) || errors.Is(err, ErrChainNotEmpty)
}

// PositionError says where in a text an error is.
type PositionError struct {
	File string // "" when the text has no name
	Line int    // from 1; 0 when unknown
	Err  error
}

func (e *PositionError) Error() string {
	switch {
	case e.File == "" && e.Line == 0:
		return e.Err.Error()
	case e.File == "":
		return "line " + strconv.Itoa(e.Line) + ": " + e.Err.Error()
	case e.Line == 0:
		return e.File + ": " + e.Err.Error()
	}
	return e.File + ":" + strconv.Itoa(e.Line) + ": " + e.Err.Error()
}

// Unwrap returns the error without its position.
func (e *PositionError) Unwrap() error { return e.Err }

// SyntaxError is a text that iptables refuses.
type SyntaxError struct {
	Construct string // what was being read: `-p`, `match tcp`, `table`
	Input     string // the offending text
	Reason    string
}

func (e *SyntaxError) Error() string {
	s := e.Reason
	if e.Input != "" {
		s += ": " + clip(e.Input)
	}
	if e.Construct != "" {
		s = e.Construct + ": " + s
	}
	return s
}

// UnsupportedError is a construct that is understood but not modelled: a walk that reaches it stops.
type UnsupportedError struct {
	File      string
	Line      int
	Construct string // "match string", "target TPROXY"
	Text      string // the rule
}

func (e *UnsupportedError) Error() string {
	p := &PositionError{File: e.File, Line: e.Line, Err: fmt.Errorf("%s is not modelled: %s", e.Construct, e.Text)}
	return p.Error()
}

// ChainError is a failed operation on a chain.
type ChainError struct {
	Op    string // "-N", "-X", "-A", ...
	Table TableID
	Chain string
	Err   error
}

func (e *ChainError) Error() string {
	return e.Op + " " + clip(e.Chain) + " in table " + e.Table.String() + ": " + e.Err.Error()
}

// Unwrap returns the reason.
func (e *ChainError) Unwrap() error { return e.Err }

// LoopError is a chain that leads back to itself; the kernel refuses such a table (ip_tables.c, mark_source_chains).
type LoopError struct {
	Table  TableID
	Chains []string // the cycle, first chain repeated at its end
}

func (e *LoopError) Error() string {
	return "table " + e.Table.String() + ": chains form a loop: " + strings.Join(e.Chains, " -> ")
}

// RuleError is a rule that the kernel refuses when the table is committed.
type RuleError struct {
	Table TableID
	Chain string
	Rule  string // as iptables-save prints it
	Err   error
}

func (e *RuleError) Error() string {
	return "table " + e.Table.String() + ": " + e.Err.Error() + ": " + clip(e.Rule)
}

// Unwrap returns the reason.
func (e *RuleError) Unwrap() error { return e.Err }

// clip quotes a text for an error message and shortens it.
func clip(s string) string {
	const most = 120
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}

func refuse(construct, reason, input string) error {
	return &SyntaxError{Construct: construct, Reason: reason, Input: input}
}

// SetError is a rule that names an ipset which does not exist.
type SetError struct{ Set string }

func (e *SetError) Error() string { return "set " + clip(e.Set) + " does not exist" }

// Unwrap is ErrNoSet.
func (e *SetError) Unwrap() error { return ErrNoSet }
