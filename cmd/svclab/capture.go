package main

import (
	"bufio"
	"errors"
	"io"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/svclab/svclab/sim/run"
)

// capturing is a pcapng that -o asked for. A file appears whole or not at all.
type capturing struct {
	path    string // "" for standard output
	out     *bufio.Writer
	pending *renameio.PendingFile
	capture *run.Capture
}

// takeCapture takes -o pcapng[=PATH] out of a list of outputs; nil when it is not in it. With nothing else asked for, the report goes
// where it goes without any -o, unless the capture itself is there.
func (a *app) takeCapture(outputs []string, about string, limit int64) (*capturing, []string, error) {
	var rest []string
	var c *capturing
	for _, o := range outputs {
		format, path, _ := strings.Cut(o, "=")
		switch {
		case format != "pcapng":
			rest = append(rest, o)
		case c != nil:
			return nil, nil, &run.InputError{What: "-o", Text: o, Why: "one capture is made at a time"}
		default:
			c = &capturing{path: path}
		}
	}
	if c == nil {
		return nil, outputs, nil
	}
	if limit < 0 {
		return nil, nil, &run.InputError{What: "--capture-limit", Why: "is negative"}
	}
	var w io.Writer = a.out
	if c.path != "" {
		var err error
		if c.pending, err = renameio.NewPendingFile(c.path, renameio.WithPermissions(0o644), renameio.WithExistingPermissions()); err != nil {
			return nil, nil, err
		}
		w = c.pending
		if rest == nil {
			rest = []string{"table"}
		}
	}
	c.out = bufio.NewWriterSize(w, 64<<10)
	var err error
	c.capture, err = run.NewCapture(c.out, about, limit)
	return c, rest, err
}

// of is the capture to hand to a run; it takes a nil receiver.
func (c *capturing) of() *run.Capture {
	if c == nil {
		return nil
	}
	return c.capture
}

// close puts the capture where it was asked for and tells what it leaves out. What failed before it had seen a packet leaves no
// file. It takes a nil receiver and returns what failed, joined with its own.
func (a *app) close(c *capturing, failed error) error {
	if c == nil {
		return failed
	}
	a.warn(c.capture.Warnings())
	err := c.capture.Err()
	if err == nil {
		err = c.out.Flush()
	}
	if c.pending == nil {
		return errors.Join(failed, err)
	}
	if err != nil || failed != nil && c.capture.Packets() == 0 {
		return errors.Join(failed, err, c.pending.Cleanup())
	}
	return errors.Join(failed, c.pending.CloseAtomicallyReplace())
}

// captureFlags adds what captures are bounded by.
func captureFlags(c *cobra.Command, limit *int64) {
	c.Flags().Int64Var(limit, "capture-limit", run.DefaultCapturePackets, "packets that -o pcapng holds; each is seen at several points")
	o := c.Flags().Lookup("output")
	o.Usage = strings.Replace(o.Usage, ", with =PATH", ", pcapng, with =PATH", 1)
}
