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

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/run"
	"github.com/svclab/svclab/sim/scenario"
	"github.com/svclab/svclab/web"
)

func (a *app) runCommand() *cobra.Command {
	var world string
	var f runFlags
	var captured captureOptions
	c := &cobra.Command{
		Use:   "run FILE",
		Short: "Run a scenario with its checks",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			only, err := f.part()
			if err != nil {
				return err
			}
			o := run.ScenarioOptions{World: world, Progress: a.progress(), Only: only, Rerun: f.rerun}
			if c.Flags().Changed("seed") {
				o.Seed = &f.seed
			}
			p, outputs, err := a.takeCapture(f.outputs, filepath.Base(args[0]), captured)
			if err != nil {
				return err
			}
			f.outputs, o.Capture = outputs, p.of()
			err = a.judged(c.Context(), &f, args[0], func(ctx context.Context, s subjectFile) (*report.Report, error) {
				return run.Scenario(ctx, s.scenario, os.DirFS(s.dir), o)
			})
			return a.close(p, err)
		},
	}
	c.Flags().StringVar(&world, "world", "", "world the flows run in: "+strings.Join(run.Worlds(), ", ")+" (default: the one that the scenario names, else replay)")
	f.add(c)
	captureFlags(c, &captured)
	return c
}

// subjectFile is a scenario, and the folder that its files stand in.
type subjectFile struct {
	scenario *scenario.Scenario
	dir      string
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

// formats are what a report can be written as.
var formats = []string{"table", "json", "ndjson", "junit", "markdown", "github", "html"}

// sink is one -o: a format, and a file or standard output.
type sink struct{ format, path string }

func parseOutputs(list []string) ([]sink, error) {
	var out []sink
	toStdout := 0
	for _, o := range list {
		format, path, _ := strings.Cut(o, "=")
		if err := oneOf("-o", format, append(formats, "text")...); err != nil {
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
func (a *app) emit(s sink, r *report.Report, strict bool, file string) error {
	if s.path == "" && s.format != "github" {
		return write(a.out, s.format, r, strict, a.style())
	}
	var b bytes.Buffer
	if s.format == "github" {
		return a.emitGitHub(s, r, file)
	}
	if err := write(&b, s.format, r, strict, report.Style{}); err != nil {
		return err
	}
	return writeWhole(s.path, b.Bytes())
}

// emitGitHub prints annotations, which a runner reads from standard output, and writes the job summary to the file that was
// named, or else appends it to the one that the runner names.
func (a *app) emitGitHub(s sink, r *report.Report, file string) error {
	if err := r.WriteAnnotations(a.out, file); err != nil {
		return err
	}
	var b bytes.Buffer
	if err := r.WriteSummary(&b); err != nil {
		return err
	}
	if s.path != "" {
		return writeWhole(s.path, b.Bytes())
	}
	name, ok := a.env("GITHUB_STEP_SUMMARY")
	if !ok || name == "" {
		return nil
	}
	old, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if len(old)+b.Len() > report.MaxSummaryBytes {
		fmt.Fprintf(a.err, "svclab: no room for a summary of %d bytes beside %d that are there\n", b.Len(), len(old))
		return nil
	}
	return writeWhole(name, append(old, b.Bytes()...))
}

func write(w io.Writer, format string, r *report.Report, strict bool, style report.Style) error {
	switch format {
	case "json":
		return report.WriteJSON(w, r, false)
	case "ndjson":
		return report.WriteJSON(w, r, true)
	case "junit":
		return r.WriteJUnit(w, strict)
	case "markdown":
		return r.WriteMarkdown(w)
	case "html":
		return web.WriteReport(w, r)
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
