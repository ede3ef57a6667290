package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/sim/curve"
)

// curveFlags are the flags of svclab curve.
type curveFlags struct {
	series, sizes, outputs []string
	quick, strict          bool
	timeout                time.Duration
	asked                  bool // for these series by name
	o                      curve.Options
}

// What --quick takes in place of the defaults.
const quickRounds = 15

var quickSizes = []string{"1", "1000", "3000"}

func (a *app) curveCommand() *cobra.Command {
	q := &curveFlags{}
	var names []string
	for _, s := range curve.AllSeries() {
		names = append(names, s.Name)
	}
	c := &cobra.Command{
		Use:   "curve",
		Short: "Measure what connecting costs by the number of Services, and say whether it is linear or flat",
		Long: `Measure on real kernels how long it takes to connect to the first and to the last of many Services, and say what shape that has by
their number: linear, flat, or too noisy to say. Beside it stand the rules that the model tries for the same packets, and what updates
cost. No root is needed. Each series has a kernel for each size; all of them are up at once and are visited in rounds, in random order.

Exit codes: 0 measured; 2 bad usage; 3 a series asked for by --series, or every series, cannot be measured here; 4 too noisy to say,
with --strict; 5 --timeout, with what was measured so far.`,
		Example: `  svclab curve -o table -o svg=curve.svg
  svclab curve --quick
  svclab curve --series rootless-legacy,rootless-nft --sizes 1,1000,5000,10000,20000 -o json=curve.json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if q.quick && !c.Flags().Changed("rounds") {
				q.o.Rounds = quickRounds
			}
			if q.quick && !c.Flags().Changed("sizes") {
				q.sizes = quickSizes
			}
			q.asked = c.Flags().Changed("series")
			if err := q.options(names); err != nil {
				return err
			}
			return a.curve(c.Context(), q)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&q.series, "series", names, "what to measure: "+strings.Join(names, ", "))
	f.StringSliceVar(&q.sizes, "sizes", []string{"1", "100", "1000", "3000", "10000"}, "numbers of Services")
	f.BoolVar(&q.quick, "quick", false, fmt.Sprintf("%s Services and %d rounds, where --sizes and --rounds say nothing else", strings.Join(quickSizes, ", "), quickRounds))
	f.IntVar(&q.o.UMLMax, "uml-max", curve.DefaultUMLMax, "largest number of Services in a kernel of its own; 0 for no bound")
	f.IntVar(&q.o.Rounds, "rounds", curve.DefaultRounds, "visits to each size")
	f.IntVar(&q.o.Blocks, "blocks", curve.DefaultBlocks, "blocks of connections to each Service in a visit")
	f.IntVar(&q.o.Connects, "connects", curve.DefaultConnects, "connections of a block, timed as one")
	f.Uint64Var(&q.o.Seed, "seed", 1, "seed of the order of visits and blocks")
	f.BoolVar(&q.strict, "strict", false, "exit 4 when a series is too noisy to say")
	f.StringArrayVarP(&q.outputs, "output", "o", []string{"table"}, "table, json, svg, with =PATH to write a file (repeatable)")
	f.DurationVar(&q.timeout, "timeout", 15*time.Minute, "stop after this long, with what was measured so far")
	return c
}

// options checks the flags and makes the options of the measurement.
func (q *curveFlags) options(names []string) error {
	if len(q.sizes) == 0 {
		return fmt.Errorf("--sizes: none is given")
	}
	for _, text := range q.sizes {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 1 || n > 50000 {
			return fmt.Errorf("--sizes: %q is no number of Services from 1 to 50000", text)
		}
		q.o.Sizes = append(q.o.Sizes, n)
	}
	for _, b := range []struct {
		flag       string
		is, lo, hi int
	}{{"rounds", q.o.Rounds, 1, 10000}, {"blocks", q.o.Blocks, 2, 1000}, {"connects", q.o.Connects, 1, 500}, {"uml-max", q.o.UMLMax, 0, 50000}} {
		if b.is < b.lo || b.is > b.hi {
			return fmt.Errorf("--%s: %d is not from %d to %d", b.flag, b.is, b.lo, b.hi)
		}
	}
	if q.timeout <= 0 {
		return fmt.Errorf("--timeout: %s is no time to measure in", q.timeout)
	}
	for _, out := range q.outputs {
		form, path, file := strings.Cut(out, "=")
		if err := oneOf("--output", form, "table", "json", "svg"); err != nil {
			return err
		}
		if file && path == "" {
			return fmt.Errorf("--output: %q names no file", out)
		}
	}
	for _, name := range q.series {
		if err := oneOf("--series", name, names...); err != nil {
			return err
		}
	}
	for _, s := range curve.AllSeries() {
		if slices.Contains(q.series, s.Name) {
			q.o.Series = append(q.o.Series, s)
		}
	}
	if len(q.o.Series) == 0 {
		return fmt.Errorf("--series: none is given")
	}
	return nil
}

func (a *app) curve(ctx context.Context, q *curveFlags) error {
	ctx, cancel := context.WithTimeout(ctx, q.timeout)
	defer cancel()
	begun := time.Now()
	q.o.Progress = func(line string) { fmt.Fprintf(a.err, "svclab: %4d s  %s\n", int(time.Since(begun).Seconds()), line) }
	r, stopped := curve.Measure(ctx, q.o)
	for _, out := range q.outputs {
		if err := a.writeCurve(r, out); err != nil {
			return err
		}
	}
	if errors.Is(stopped, context.DeadlineExceeded) {
		return fmt.Errorf("stopped after --timeout %s: %w", q.timeout, stopped)
	}
	if stopped != nil {
		return stopped
	}
	return q.verdict(r)
}

// writeCurve writes a result in one form, to standard output or a file.
func (a *app) writeCurve(r *curve.Result, out string) error {
	form, path, file := strings.Cut(out, "=")
	var b bytes.Buffer
	write := r.Table
	switch form {
	case "json":
		write = r.JSON
	case "svg":
		write = r.SVG
	}
	if err := write(&b); err != nil {
		return err
	}
	if file {
		return writeWhole(path, b.Bytes())
	}
	_, err := a.out.Write(b.Bytes())
	return err
}

// verdict is the exit code: for what was asked for by name and is missing, or for nothing measured at all; for noise.
func (q *curveFlags) verdict(r *curve.Result) error {
	var missing error
	measured, noisy := false, false
	for _, l := range r.Lines {
		measured = measured || len(l.Points) > 0
		noisy = noisy || l.Shape == curve.TooNoisy
		if l.Missing != nil && missing == nil {
			missing = l.Missing
		}
	}
	switch {
	case missing != nil && (q.asked || !measured):
		return environment(missing)
	case noisy && q.strict:
		return exit(exitInconclusive)
	}
	return nil
}
