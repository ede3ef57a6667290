package run

import (
	"fmt"

	"github.com/svclab/svclab/sim/record"
	"github.com/svclab/svclab/sim/report"
)

// Replay plays a kernel's recording against the model.
func Replay(name string, data []byte) (*report.Replay, error) {
	t, err := record.Read(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sourceName(name), err)
	}
	play := record.PlayRules
	if t.IsIPVS() {
		play = record.Play
	}
	events, diff, err := play(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sourceName(name), err)
	}
	r := &report.Replay{Name: t.Name, Events: events}
	if diff != nil {
		r.Difference = &report.Difference{Event: diff.Event, Expected: diff.Expected, Got: diff.Got, State: diff.State}
	}
	return r, nil
}
