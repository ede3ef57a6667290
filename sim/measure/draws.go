package measure

// Draws are the draws of one check over all epochs of a run, in the order in
// which the epochs first began. The zero value is empty and useful.
type Draws struct{ Tallies []*Tally }

// Begin returns the tally to count in from now on. An epoch with the same
// outcomes and shares as an earlier one is that epoch again: nothing a draw
// depends on has changed.
func (d *Draws) Begin(e Epoch) *Tally {
	for _, t := range d.Tallies {
		if t.Epoch.Equal(e) {
			return t
		}
	}
	t := NewTally(e)
	d.Tallies = append(d.Tallies, t)
	return t
}

// Merge adds the counts of another run or worker.
func (d *Draws) Merge(from *Draws) error {
	for _, t := range from.Tallies {
		if err := d.Begin(t.Epoch).Merge(t); err != nil {
			return err
		}
	}
	return nil
}

// N is the number of draws over all epochs.
func (d *Draws) N() int64 {
	var n int64
	for _, t := range d.Tallies {
		n += t.N()
	}
	return n
}
