package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/svclab/svclab/sim/curve"
	"github.com/svclab/svclab/sim/kernel"
)

func (a *app) curveCommand() *cobra.Command {
	var series, sizes, outputs []string
	var umlMax int
	var timeout time.Duration
	o := curve.Options{}
	var names []string
	for _, s := range curve.AllSeries() {
		names = append(names, s.Name)
	}
	c := &cobra.Command{
		Use:   "curve",
		Short: "Measure what connecting costs by the number of Services, and say whether it is linear or flat",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for _, text := range sizes {
				n, err := strconv.Atoi(text)
				if err != nil || n < 1 || n > 50000 {
					return fmt.Errorf("--sizes: %q is no number of Services from 1 to 50000", text)
				}
				o.Sizes = append(o.Sizes, n)
			}
			if o.Blocks < 2 || o.Blocks > 10000 || o.Connects < 1 || o.Connects > 500 {
				return fmt.Errorf("--blocks must be from 2 to 10000 and --connects from 1 to 500")
			}
			for _, name := range series {
				if err := oneOf("--series", name, names...); err != nil {
					return err
				}
				for _, s := range curve.AllSeries() {
					if s.Name != name {
						continue
					}
					if s.Vehicle == kernel.VehicleUML {
						s.MaxServices = umlMax
					}
					o.Series = append(o.Series, s)
				}
			}
			return a.curve(c.Context(), o, outputs, timeout)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&series, "series", names, "what to measure: "+strings.Join(names, ", "))
	f.StringSliceVar(&sizes, "sizes", []string{"1", "100", "1000", "3000", "10000"}, "numbers of Services")
	f.IntVar(&umlMax, "uml-max", 3000, "largest number of Services in a kernel of its own; 0 for no bound")
	f.IntVar(&o.Rounds, "rounds", 40, "visits to each size")
	f.IntVar(&o.Blocks, "blocks", 60, "blocks of connections to each Service in a visit")
	f.IntVar(&o.Connects, "connects", 5, "connections of a block, timed as one")
	f.Uint64Var(&o.Seed, "seed", 1, "seed of the slope's interval")
	f.StringArrayVarP(&outputs, "output", "o", []string{"table"}, "table, json, svg, with =PATH to write a file (repeatable)")
	f.DurationVar(&timeout, "timeout", 15*time.Minute, "stop after this long, with what was measured so far")
	return c
}

func (a *app) curve(ctx context.Context, o curve.Options, outputs []string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for _, out := range outputs {
		form, _, _ := strings.Cut(out, "=")
		if err := oneOf("--output", form, "table", "json", "svg"); err != nil {
			return err
		}
	}
	o.Progress = func(line string) { fmt.Fprintln(a.err, "svclab:", line) }
	r, stopped := curve.Measure(ctx, o)
	if r == nil {
		return stopped
	}
	for _, out := range outputs {
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
		if !file {
			if _, err := a.out.Write(b.Bytes()); err != nil {
				return err
			}
		} else if err := renameio.WriteFile(path, b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	if errors.Is(stopped, context.DeadlineExceeded) {
		return fmt.Errorf("stopped after --timeout %s: %w", timeout, stopped)
	}
	if stopped != nil {
		return stopped
	}
	for _, l := range r.Lines {
		if len(l.Points) > 0 {
			return nil
		}
	}
	for _, l := range r.Lines {
		if l.Missing != nil {
			return environment(l.Missing)
		}
	}
	return nil
}
