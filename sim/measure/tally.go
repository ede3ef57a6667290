package measure

import "slices"

// Tally counts the draws of one epoch. The unit is one draw: the first packet
// of a new connection for which the datapath had a choice to make. A connection
// that affinity or conntrack decided is no draw and is not counted here.
type Tally struct {
	Epoch  Epoch
	Counts []int64           // draws by cell of Epoch.Cells
	Other  map[Outcome]int64 // draws that ended outside the cells: all of probability zero

	index map[Outcome]int // cell of an outcome, made on first use
}

// NewTally returns an empty tally.
func NewTally(e Epoch) *Tally {
	return &Tally{Epoch: e, Counts: make([]int64, len(e.Cells))}
}

// Add counts one draw that ended in the cell with this index.
func (t *Tally) Add(cell int) { t.Counts[cell]++ }

// AddOutcome counts one draw by its outcome; one that is no cell goes to Other.
func (t *Tally) AddOutcome(o Outcome) {
	if t.index == nil {
		t.index = make(map[Outcome]int, len(t.Epoch.Cells))
		for i, c := range t.Epoch.Cells {
			t.index[c.Outcome] = i
		}
	}
	if i, ok := t.index[o]; ok {
		t.Counts[i]++
		return
	}
	if t.Other == nil {
		t.Other = make(map[Outcome]int64)
	}
	t.Other[o]++
}

// N returns the number of draws, those outside the cells included.
func (t *Tally) N() int64 {
	var n int64
	for _, c := range t.Counts {
		n += c
	}
	for _, c := range t.Other {
		n += c
	}
	return n
}

// OtherOutcomes returns the keys of Other in report order.
func (t *Tally) OtherOutcomes() []Outcome {
	keys := make([]Outcome, 0, len(t.Other))
	for o := range t.Other {
		keys = append(keys, o)
	}
	slices.SortFunc(keys, Outcome.Compare)
	return keys
}

// Merge adds the counts of u, which must have the same epoch; else a *MergeError.
func (t *Tally) Merge(u *Tally) error {
	if !t.Epoch.Equal(u.Epoch) {
		return &MergeError{t.Epoch.Name, "the shares differ from those of " + u.Epoch.Name}
	}
	for i, c := range u.Counts {
		t.Counts[i] += c
	}
	for o, c := range u.Other {
		if t.Other == nil {
			t.Other = make(map[Outcome]int64)
		}
		t.Other[o] += c
	}
	return nil
}
