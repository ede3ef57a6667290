// Package journal lets a walk be taken back: whoever changes a node's state records the inverse, and Rollback applies the
// inverses latest first, back to a mark. Enumerating every outcome of a walk, and asking what a packet would do, run on the node's own
// state this way instead of on a copy of it.
package journal

// Journal is a list of inverse operations. A nil *Journal records nothing.
type Journal struct{ undo []func() }

// On reports whether changes need to be recorded; hot paths test it before they build a closure.
func (j *Journal) On() bool { return j != nil }

// Add records how to take back a change just made. On a nil Journal it does nothing.
func (j *Journal) Add(undo func()) {
	if j != nil {
		j.undo = append(j.undo, undo)
	}
}

// Mark is a place in the journal.
type Mark int

// Mark returns the present place.
func (j *Journal) Mark() Mark { return Mark(len(j.undo)) }

// Rollback takes back everything recorded since the journal was new, latest first, and empties it.
func (j *Journal) Rollback() { j.RollbackTo(0) }

// RollbackTo takes back everything recorded since a place, latest first.
func (j *Journal) RollbackTo(to Mark) {
	for i := len(j.undo) - 1; i >= int(to); i-- {
		j.undo[i]()
	}
	clear(j.undo[to:])
	j.undo = j.undo[:to]
}
