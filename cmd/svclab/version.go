package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// generation is the kube-proxy whose rules are written.
const generation = "1.37"

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			version := "devel"
			if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" && b.Main.Version != "(devel)" {
				version = b.Main.Version
			}
			_, err := fmt.Fprintf(a.out, "svclab %s, kube-proxy generation %s, %s\n", version, generation, runtime.Version())
			return err
		},
	}
}
