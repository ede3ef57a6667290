package run

import (
	"errors"
	"fmt"

	"github.com/svclab/svclab/sim/record"
	"github.com/svclab/svclab/sim/report"
)

// ErrNoPlayer says that a recording is of a kind that is read but not played.
var ErrNoPlayer = errors.New("recordings of iptables rules are not played")

// Replay plays a kernel's recording against the model.
func Replay(name string, data []byte) (*report.Replay, error) {
	t, err := record.Read(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sourceName(name), err)
	}
	if !t.IsIPVS() {
		return nil, fmt.Errorf("%s: %w", sourceName(name), ErrNoPlayer)
	}
	events, diff, err := record.Play(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sourceName(name), err)
	}
	r := &report.Replay{Name: t.Name, Events: events}
	if diff != nil {
		r.Difference = &report.Difference{Event: diff.Event, Expected: diff.Expected, Got: diff.Got, State: diff.State}
	}
	return r, nil
}
