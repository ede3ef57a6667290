package main

import (
	"bufio"
	"errors"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/sim/run"
)

// captureOptions are the flags that bound a capture.
type captureOptions struct {
	packets int64
	points  []string
}

// capturing is a pcapng that -o asked for. A file appears whole or not at all.
type capturing struct {
	path    string // "" for standard output
	out     *bufio.Writer
	pending *whole
	capture *run.Capture
}

// takeCapture takes -o pcapng[=PATH] out of a list of outputs; nil when it is not in it. With nothing else asked for, the report goes
// where it goes without any -o, unless the capture itself is there.
func (a *app) takeCapture(outputs []string, about string, o captureOptions) (*capturing, []string, error) {
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
	if o.packets < 0 {
		return nil, nil, &run.InputError{What: "--capture-limit", Why: "is negative"}
	}
	var w io.Writer = a.out
	if c.path != "" {
		var err error
		if c.pending, err = openWhole(c.path); err != nil {
			return nil, nil, err
		}
		w = c.pending
		if rest == nil {
			rest = []string{"table"}
		}
	}
	c.out = bufio.NewWriterSize(w, 64<<10)
	var err error
	c.capture, err = run.NewCapture(c.out, run.CaptureOptions{About: about, Packets: o.packets, Points: o.points})
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
		return errors.Join(failed, err, c.pending.drop())
	}
	return errors.Join(failed, c.pending.keep())
}

// captureFlags adds what captures are bounded by.
func captureFlags(c *cobra.Command, o *captureOptions) {
	c.Flags().Int64Var(&o.packets, "capture-limit", run.DefaultCapturePackets, "packets that -o pcapng holds; each is seen at several points")
	c.Flags().StringSliceVar(&o.points, "capture-at", nil, "points that -o pcapng holds: hooks, interfaces, socket; PREROUTING,eth0 (default: all that are passed)")
	f := c.Flags().Lookup("output")
	f.Usage = strings.Replace(f.Usage, ", with =PATH", ", pcapng, with =PATH", 1)
}
