package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/sim/box"
	"github.com/svclab/svclab/sim/kernel"
	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/run"
)

// kernelFlags choose a kernel.
type kernelFlags struct{ vehicle, variant string }

func (f *kernelFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.vehicle, "kernel", "auto", "what brings the kernel: "+strings.Join(run.Vehicles(), ", "))
	c.Flags().StringVar(&f.variant, "variant", string(datapath.Legacy), "iptables variant: legacy, nft")
}

func (f *kernelFlags) options() (run.CompareOptions, error) {
	o := run.CompareOptions{Vehicle: kernel.Vehicle(f.vehicle), Variant: datapath.Variant(f.variant)}
	if err := oneOf("--kernel", f.vehicle, run.Vehicles()...); err != nil {
		return o, err
	}
	return o, oneOf("--variant", f.variant, string(datapath.Legacy), string(datapath.NFT))
}

func (a *app) compareCommand() *cobra.Command {
	var k kernelFlags
	var r runFlags
	var patience time.Duration
	c := &cobra.Command{
		Use:   "compare FILE",
		Short: "Run a scenario on the model and on a real kernel, and judge whether they agree",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o, err := k.options()
			if err != nil {
				return err
			}
			o.Progress, o.Rerun, o.Patience = a.progress(), r.rerun, patience
			if o.Only, err = r.part(); err != nil {
				return err
			}
			if c.Flags().Changed("seed") {
				o.Seed = &r.seed
			}
			return a.judged(c.Context(), &r, args[0], func(ctx context.Context, s subjectFile) (*report.Report, error) {
				return run.Compare(ctx, s.scenario, os.DirFS(s.dir), o)
			})
		},
	}
	c.Flags().DurationVar(&patience, "patience", run.DefaultPatience, "how long a scenario may take whose timeouts matter; one that lasts longer is run as fast as it goes")
	k.add(c)
	r.add(c)
	return c
}

// environment gives a missing environment its exit code.
func environment(err error) error {
	if _, missing := box.Missing(err); missing {
		return &codeError{exitEnvironment, err}
	}
	return err
}

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Say which kernels work here, what is missing, and what mends it",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s := a.style()
			works := false
			for _, v := range kernel.Probe(c.Context()) {
				name := string(v.Vehicle)
				if v.Variant != "" {
					name += ", iptables " + string(v.Variant)
				}
				if v.Works {
					works = true
					fmt.Fprintf(a.out, "%s  %s: kernel %s, iptables %s\n", s.Good(s.Sign("✓", "ok")), name, v.Version.Release, v.Version.IPTables)
					continue
				}
				fmt.Fprintf(a.out, "%s  %s: %s\n", s.Bad(s.Sign("✗", "!!")), name, reasonOf(v.Missing))
				if v.Missing.Mend != "" {
					fmt.Fprintf(a.out, "   to mend it: %s\n", v.Missing.Mend)
				}
			}
			if err := c.Context().Err(); err != nil {
				return err
			}
			if !works {
				return exit(exitEnvironment)
			}
			return nil
		},
	}
}

// reasonOf says what is missing, without the mending command.
func reasonOf(m *box.MissingError) string {
	bare := *m
	bare.Mend = ""
	return bare.Error()
}

// runFlags are the flags that run and compare share.
type runFlags struct {
	seed    uint64
	strict  bool
	outputs []string
	timeout time.Duration
	only    string
	rerun   int
}

func (f *runFlags) add(c *cobra.Command) {
	s := c.Flags()
	s.Uint64Var(&f.seed, "seed", 0, "seed, in place of the scenario's")
	s.BoolVar(&f.strict, "strict", false, "exit 4 when a verdict stays open")
	s.StringArrayVarP(&f.outputs, "output", "o", []string{"table"}, strings.Join(formats, ", ")+", with =PATH to write a file (repeatable)")
	s.DurationVar(&f.timeout, "timeout", 0, "stop after this long, with what was seen so far")
	s.StringVar(&f.only, "only", "", "part of the traffic: TRAFFIC, TRAFFIC:ID or TRAFFIC:FIRST-LAST")
	s.IntVar(&f.rerun, "rerun", 0, "this is the i-th run again after a FAIL: it gets a smaller risk, and the report says the sum")
}

func (f *runFlags) part() (run.Only, error) {
	if f.only == "" {
		return run.Only{}, nil
	}
	return run.ParseOnly(f.only)
}

// judged reads a scenario, makes its report, writes it wherever it is asked for, and ends with the verdict's code.
func (a *app) judged(ctx context.Context, f *runFlags, file string, make func(context.Context, subjectFile) (*report.Report, error)) error {
	sinks, err := parseOutputs(f.outputs)
	if err != nil {
		return err
	}
	if f.rerun < 0 {
		return fmt.Errorf("--rerun: %d is negative", f.rerun)
	}
	sc, dir, err := a.readScenario(file)
	if err != nil {
		return err
	}
	if f.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.timeout)
		defer cancel()
	}
	r, stopped := make(ctx, subjectFile{sc, dir})
	if r == nil {
		return environment(stopped)
	}
	for _, s := range sinks {
		if err := a.emit(s, r, f.strict, file); err != nil {
			return err
		}
	}
	switch {
	case errors.Is(stopped, context.DeadlineExceeded):
		return fmt.Errorf("stopped after --timeout %s: %w", f.timeout, stopped)
	case errors.Is(stopped, context.Canceled):
		return fmt.Errorf("interrupted: %w", stopped)
	case stopped != nil:
		return environment(stopped)
	}
	return exit(r.ExitCode(f.strict))
}
