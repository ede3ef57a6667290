package main

import (
	"fmt"
	"os"

	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/run"
)

// traceCapture walks the packets of a capture through the node, one line a packet.
func (a *app) traceCapture(s *run.Subject, file string, q run.CaptureRequest, output string) error {
	q.Name, q.File = file, a.in
	if file == "-" {
		q.Name = "<stdin>"
	} else {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		q.File = f
	}
	style := a.style()
	var packets []report.Passed
	q.Each = func(p *report.Passed) error {
		switch output {
		case "json":
			packets = append(packets, *p)
			return nil
		case "ndjson":
			return report.WriteJSON(a.out, p, true)
		case "":
			return nil
		}
		_, err := fmt.Fprintln(a.out, p.Line(style))
		return err
	}
	c, err := s.Walk(q)
	if err != nil {
		return err
	}
	if c.Cut != "" {
		a.warn([]string{"warning: " + c.Cut})
	}
	switch output {
	case "json":
		if packets != nil {
			c.Packets = packets
		}
		return report.WriteJSON(a.out, c, false)
	case "ndjson", "":
		a.tellSkipped(c)
		return nil
	}
	return c.WriteEnding(a.out, style)
}

// tellSkipped says on standard error what was not walked, where standard output has no place for it.
func (a *app) tellSkipped(c *report.Captured) {
	for _, k := range c.Skipped {
		fmt.Fprintf(a.err, "svclab: %d packets not walked, the first is number %d: %s\n", k.Count, k.First, k.Why)
	}
}
