package report

import "fmt"

// Replay is one recording of a kernel, played against the model.
type Replay struct {
	Name       string      `json:"name"`
	Events     int         `json:"events"`
	Difference *Difference `json:"difference,omitempty"` // the first; absent when all agree
}

// Difference is the first place where model and kernel part.
type Difference struct {
	Event    int    `json:"event"` // index from 0
	Expected string `json:"expected"`
	Got      string `json:"got"`
	State    string `json:"state,omitempty"` // of the model at that moment
}

// Replays are several recordings.
type Replays struct {
	SchemaVersion string   `json:"schemaVersion"`
	Kind          string   `json:"kind"` // "Replays"
	Files         []Replay `json:"files"`
}

// String is the line of one recording.
func (r *Replay) String() string {
	if d := r.Difference; d != nil {
		return fmt.Sprintf("DIFF %s event=%d expected=%s got=%s", r.Name, d.Event, d.Expected, d.Got)
	}
	return fmt.Sprintf("ok %s events=%d", r.Name, r.Events)
}
