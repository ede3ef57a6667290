// Package share computes exact shares: which endpoints a packet can be sent to, each with its probability as a fraction.
//
// There is one walker. Enumerate runs it once for every combination of outcomes of its draws, depth first: the source it
// hands the walk repeats the decisions of the path so far, takes a new branch, and remembers the other. The walk runs under
// a journal and is taken back each time, so state (lists, counters, connections, cursors) is what it was before. The
// probability of a path is a product kept along the present branch, so a plain chain of n statistic rules costs n
// multiplications, as the product written by hand would.
//
// A share is conditional on the state it was computed in: the next new connection of this client, at the present counters.
package share

import (
	"fmt"
	"math/big"
)

// branch is one decision on the present path.
type branch struct {
	taken   int // outcome now being explored
	options int
	p31     uint32 // for a probability draw: hits with p31/2^31; outcome 0 is the hit
	uniform bool
	product Fraction // probability of the path up to and including this decision
}

// enumerator is a netfilter.Source that visits every outcome.
type enumerator struct {
	path  []branch
	depth int
}

// Chance forks on a probability draw; certain outcomes do not fork.
func (e *enumerator) Chance(p31 uint32) bool {
	if p31 == 0 {
		return false
	}
	if p31 >= 1<<31 {
		return true
	}
	return e.take(2, p31, false) == 0
}

// Intn forks on a uniform draw.
func (e *enumerator) Intn(n int) int {
	if n == 1 {
		return 0
	}
	return e.take(n, 0, true)
}

// Port takes the first port: which one a translated source gets decides nothing about who answers.
func (e *enumerator) Port(int) int { return 0 }

func (e *enumerator) take(options int, p31 uint32, uniform bool) int {
	if e.depth == len(e.path) {
		e.path = append(e.path, branch{options: options, p31: p31, uniform: uniform})
		e.weigh()
	}
	b := &e.path[e.depth]
	if b.options != options || b.p31 != p31 {
		panic(fmt.Sprintf("share: a walk is not a function of its draws: draw %d was %d/%d, now %d/%d", e.depth, b.p31, b.options, p31, options))
	}
	e.depth++
	return b.taken
}

// weigh computes the product of the last branch from the one before it.
func (e *enumerator) weigh() {
	b := &e.path[len(e.path)-1]
	before := one
	if len(e.path) > 1 {
		before = e.path[len(e.path)-2].product
	}
	switch {
	case b.uniform:
		b.product = before.over(int64(b.options))
	case b.taken == 0:
		b.product = before.times31(b.p31)
	default:
		b.product = before.times31(1<<31 - b.p31)
	}
}

// next moves to the next unexplored path and reports whether there is one.
func (e *enumerator) next() bool {
	e.depth = 0
	for len(e.path) > 0 {
		b := &e.path[len(e.path)-1]
		if b.taken+1 < b.options {
			b.taken++
			e.weigh()
			return true
		}
		e.path = e.path[:len(e.path)-1]
	}
	return false
}

func (e *enumerator) decisions() []int {
	out := make([]int, len(e.path))
	for i := range e.path {
		out[i] = e.path[i].taken
	}
	return out
}

func (e *enumerator) product() Fraction {
	if len(e.path) == 0 {
		return one
	}
	return e.path[len(e.path)-1].product
}

// MaxPaths bounds an enumeration: independent draws multiply, and some rule sets have more outcomes than can be visited.
const MaxPaths = 1 << 17

// Source is what a walk draws from: netfilter.Source, spelled here with the methods used.
type Source interface {
	Chance(p31 uint32) bool
	Intn(n int) int
}

// Path is one way a walk can go.
type Path[T any] struct {
	Result      T
	Probability Fraction
	e           *enumerator
}

// Decisions returns the outcome of each draw on the path, for Script to repeat. Valid during visit.
func (p Path[T]) Decisions() []int { return p.e.decisions() }

// Enumerate runs walk once for each combination of outcomes of its draws, hands every path to visit, and stops early when visit
// returns false. walk must take back what it changed. A walk with more than MaxPaths outcomes is a TooManyPathsError.
func Enumerate[T any](walk func(Source) T, visit func(Path[T]) bool) error {
	e := &enumerator{}
	for n := 1; ; n++ {
		r := walk(e)
		if e.depth < len(e.path) {
			panic("share: a walk is not a function of its draws: it ended early")
		}
		if !visit(Path[T]{Result: r, Probability: e.product(), e: e}) || !e.next() {
			return nil
		}
		if n >= MaxPaths {
			return &TooManyPathsError{Limit: MaxPaths}
		}
	}
}

// Script is a source that repeats decisions, as Enumerate hands them out. Draws beyond its end take outcome 0.
type Script struct {
	Decisions []int
	used      int
	asked     int
	Ports     Source // draws of NAT ports; outcome 0 when nil
}

// Asked is how many choices the walk has had so far: draws of which more than one outcome was possible, ports aside.
func (s *Script) Asked() int { return s.asked }

// Chance repeats the next decision; certain outcomes take none.
func (s *Script) Chance(p31 uint32) bool {
	if p31 == 0 {
		return false
	}
	if p31 >= 1<<31 {
		return true
	}
	return s.take() == 0
}

// Intn repeats the next decision.
func (s *Script) Intn(n int) int {
	if n == 1 {
		return 0
	}
	return s.take()
}

// Port draws a port.
func (s *Script) Port(n int) int {
	if s.Ports == nil {
		return 0
	}
	return s.Ports.Intn(n)
}

func (s *Script) take() int {
	s.asked++
	if s.used >= len(s.Decisions) {
		return 0
	}
	s.used++
	return s.Decisions[s.used-1]
}

// TooManyPathsError says that a walk has more outcomes than Enumerate visits.
type TooManyPathsError struct{ Limit int }

func (e *TooManyPathsError) Error() string {
	return fmt.Sprintf("more than %d outcomes: the draws of these rules multiply; sample instead", e.Limit)
}

var one = Fraction{num: big.NewInt(1), den: big.NewInt(1)}
