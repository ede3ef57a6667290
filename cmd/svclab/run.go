package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/run"
	"github.com/svclab/svclab/sim/scenario"
)

func (a *app) runCommand() *cobra.Command {
	var world string
	var seed uint64
	var strict bool
	var outputs []string
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "run FILE",
		Short: "Run a scenario with its checks",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			sinks, err := parseOutputs(outputs)
			if err != nil {
				return err
			}
			sc, dir, err := a.readScenario(args[0])
			if err != nil {
				return err
			}
			o := run.ScenarioOptions{World: world, Progress: a.progress()}
			if c.Flags().Changed("seed") {
				o.Seed = &seed
			}
			ctx := c.Context()
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, timeout)
				defer cancel()
			}
			r, stopped := run.Scenario(ctx, sc, os.DirFS(dir), o)
			if r == nil {
				return stopped
			}
			for _, s := range sinks {
				if err := a.emit(s, r, strict); err != nil {
					return err
				}
			}
			switch {
			case errors.Is(stopped, context.DeadlineExceeded):
				return fmt.Errorf("stopped after --timeout %s: %w", timeout, stopped)
			case errors.Is(stopped, context.Canceled):
				return fmt.Errorf("interrupted: %w", stopped)
			case stopped != nil:
				return stopped
			}
			return exit(r.ExitCode(strict))
		},
	}
	c.Flags().StringVar(&world, "world", "replay", "world the flows run in: "+strings.Join(run.Worlds(), ", "))
	c.Flags().Uint64Var(&seed, "seed", 0, "seed, in place of the scenario's")
	c.Flags().BoolVar(&strict, "strict", false, "exit 4 when a verdict stays open")
	c.Flags().StringArrayVarP(&outputs, "output", "o", []string{"table"}, "table, json, ndjson or junit, with =PATH to write a file (repeatable)")
	c.Flags().DurationVar(&timeout, "timeout", 0, "stop after this long, with what was seen so far")
	return c
}

func (a *app) validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE...",
		Short: "Check scenarios without running them",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var first error
			for _, name := range args {
				sc, dir, err := a.readScenario(name)
				if err == nil {
					err = run.Validate(sc, os.DirFS(dir))
				}
				switch {
				case err == nil:
					fmt.Fprintf(a.out, "ok %s\n", name)
				case first == nil:
					first = err
				default:
					fmt.Fprintf(a.err, "svclab: %v\n", err)
				}
			}
			return first
		},
	}
}

// readScenario reads a scenario and names the folder that its files stand in.
func (a *app) readScenario(name string) (*scenario.Scenario, string, error) {
	text, err := a.readFile(name)
	if err != nil {
		return nil, "", err
	}
	dir := "."
	if name == "-" {
		name = "<stdin>"
	} else {
		dir = filepath.Dir(name)
	}
	sc, err := scenario.Read(name, text)
	return sc, dir, err
}

// sink is one -o: a format, and a file or standard output.
type sink struct{ format, path string }

func parseOutputs(list []string) ([]sink, error) {
	var out []sink
	toStdout := 0
	for _, o := range list {
		format, path, _ := strings.Cut(o, "=")
		if err := oneOf("-o", format, "table", "text", "json", "ndjson", "junit"); err != nil {
			return nil, err
		}
		if path == "" {
			toStdout++
		}
		out = append(out, sink{format, path})
	}
	if toStdout > 1 {
		return nil, fmt.Errorf("-o: %d formats go to standard output; give all but one a path: -o json=report.json", toStdout)
	}
	return out, nil
}

// emit writes a report; a file appears whole or not at all.
func (a *app) emit(s sink, r *report.Report, strict bool) error {
	if s.path == "" {
		return write(a.out, s.format, r, strict, a.style())
	}
	var b bytes.Buffer
	if err := write(&b, s.format, r, strict, report.Style{}); err != nil {
		return err
	}
	return renameio.WriteFile(s.path, b.Bytes(), 0o644)
}

func write(w io.Writer, format string, r *report.Report, strict bool, style report.Style) error {
	switch format {
	case "json":
		return report.WriteJSON(w, r, false)
	case "ndjson":
		return report.WriteJSON(w, r, true)
	case "junit":
		return r.WriteJUnit(w, strict)
	}
	return r.WriteText(w, style)
}

// progress tells how far a run has come: in place on a terminal, else in a line every ten seconds.
func (a *app) progress() func(done, total int64) {
	began, last := time.Now(), time.Now()
	terminal := isTerminal(a.err)
	every := 10 * time.Second
	if terminal {
		every = 200 * time.Millisecond
	}
	return func(done, total int64) {
		now := time.Now()
		if now.Sub(last) < every || total == 0 {
			return
		}
		last = now
		line := fmt.Sprintf("%d of %d connections, %d %%, %s", done, total, done*100/total, now.Sub(began).Round(time.Second))
		if terminal {
			fmt.Fprintf(a.err, "\r%s\x1b[K\r", line)
		} else {
			fmt.Fprintln(a.err, line)
		}
	}
}
