package nftables

import (
	"strings"
	"time"
)

// Verb is what a command does.
type Verb string

// The verbs. Create fails where the object exists, Destroy does not where it is missing.
const (
	Add     Verb = "add"
	Create  Verb = "create"
	Insert  Verb = "insert"
	Replace Verb = "replace"
	Delete  Verb = "delete"
	Destroy Verb = "destroy"
	Flush   Verb = "flush"
)

// Kind is what a command works on.
type Kind string

// The kinds of objects.
const (
	KindTable   Kind = "table"
	KindChain   Kind = "chain"
	KindRule    Kind = "rule"
	KindSet     Kind = "set"
	KindMap     Kind = "map"
	KindElement Kind = "element"
	KindCounter Kind = "counter"
	KindRuleset Kind = "ruleset"
)

// Command is one step of a transaction.
type Command struct {
	Verb   Verb
	Kind   Kind
	Family Family
	Table  string
	Name   string // of the chain, set, map or counter; for rules and elements, of the one that holds them

	NewTable *Table   // comment and flags, of add table
	Chain    *Chain   // properties, of add chain
	Set      *Set     // of add set and add map
	Counter  *Counter // of add counter
	Rule     *Rule
	Handle   uint64 // of the rule a command is about; 0 for none
	Index    int    // of a rule to stand beside; -1 for none
	Elements []RawElement

	File string
	Line int
}

// RawElement is an element as written: its set says what the words mean.
type RawElement struct {
	Key      []string
	Verdict  Verdict
	Data     []string
	Comment  string
	Timeout  time.Duration
	Expires  time.Duration
	Line     int
	HasValue bool
}

// resolve reads the words as values.
func (r *RawElement) resolve(key, data []DataType) (Element, error) {
	e := Element{Comment: r.Comment, Timeout: r.Timeout, Expires: r.Expires}
	if len(r.Key) != len(key) {
		return e, &SyntaxError{Text: strings.Join(r.Key, " . "), Want: "a key of type " + types(key)}
	}
	for i, w := range r.Key {
		v, err := parseInterval(key[i], w)
		if err != nil {
			return e, err
		}
		e.Key = append(e.Key, v)
	}
	switch {
	case !r.HasValue:
	case len(data) == 0:
		return e, &SyntaxError{Text: ":", Want: "the end of an element: sets hold no values"}
	case r.Verdict.Kind != "":
		if len(data) != 1 || data[0] != TypeVerdict {
			return e, &SyntaxError{Text: r.Verdict.text(true), Want: "a value of type " + types(data)}
		}
		e.Verdict = r.Verdict
	case len(r.Data) != len(data) || data[0] == TypeVerdict:
		return e, &SyntaxError{Text: strings.Join(r.Data, " . "), Want: "a value of type " + types(data)}
	default:
		for i, w := range r.Data {
			v, err := parseValue(data[i], w)
			if err != nil {
				return e, err
			}
			e.Data = append(e.Data, v)
		}
	}
	return e, nil
}
