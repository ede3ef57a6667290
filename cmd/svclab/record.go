package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/sim/run"
)

func (a *app) recordCommand() *cobra.Command {
	var k kernelFlags
	var only, out string
	var seed uint64
	c := &cobra.Command{
		Use:   "record FILE",
		Short: "Record what a real kernel does with a scenario's traffic, for svclab replay",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o, err := k.options()
			if err != nil {
				return err
			}
			if only != "" {
				if o.Only, err = run.ParseOnly(only); err != nil {
					return err
				}
			}
			if c.Flags().Changed("seed") {
				o.Seed = &seed
			}
			o.Progress = a.progress()
			sc, dir, err := a.readScenario(args[0])
			if err != nil {
				return err
			}
			r, rep, err := run.Record(c.Context(), sc, os.DirFS(dir), o)
			if r == nil {
				return environment(err)
			}
			var b bytes.Buffer
			if e := r.Write(&b); e != nil {
				return e
			}
			fmt.Fprintf(a.err, "svclab: beside the model: %s\n", rep.Verdict)
			if out == "" {
				if _, e := a.out.Write(b.Bytes()); e != nil {
					return e
				}
				return environment(err)
			}
			if e := writeWhole(out, b.Bytes()); e != nil {
				return e
			}
			return environment(err)
		},
	}
	k.add(c)
	c.Flags().StringVar(&only, "only", "", "part of the traffic: TRAFFIC, TRAFFIC:ID or TRAFFIC:FIRST-LAST")
	c.Flags().StringVarP(&out, "output", "o", "", "file to write; standard output without")
	c.Flags().Uint64Var(&seed, "seed", 0, "seed, in place of the scenario's")
	return c
}
