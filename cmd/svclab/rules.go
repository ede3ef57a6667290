package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/run"
)

func (a *app) rulesCommand() *cobra.Command {
	var f subjectFlags
	var style, family string
	c := &cobra.Command{
		Use:   "rules -f FILE",
		Short: "Print what kube-proxy programs for manifests on the local node",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			o, err := f.options()
			if err != nil {
				return err
			}
			fam, err := parseFamily(family)
			if err != nil {
				return err
			}
			if fam == 0 {
				fam = packet.IPv4
			}
			if style != "native" && style != "save" {
				return fmt.Errorf("--style: %q is not a style: native and save are", style)
			}
			sources, err := a.read(f.files)
			if err != nil {
				return err
			}
			text, warnings, err := run.Rules(sources, o, fam, style == "save")
			if err != nil {
				return err
			}
			a.warn(warnings)
			_, err = io.WriteString(a.out, text)
			return err
		},
	}
	f.add(c, false)
	c.Flags().StringVar(&style, "style", "native", "native: as kube-proxy hands them over; save: as the kernel prints them back")
	c.Flags().StringVar(&family, "family", "ipv4", "ipv4 or ipv6")
	return c
}

func (a *app) fmtDumpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "fmt-dump FILE",
		Short: "Read a dump and print it back in its dialect",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			sources, err := a.read(args)
			if err != nil {
				return err
			}
			text, err := run.FormatDump(sources[0])
			if err != nil {
				return err
			}
			_, err = io.WriteString(a.out, text)
			return err
		},
	}
}
