package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/run"
)

func (a *app) replayCommand() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "replay FILE...",
		Short: "Play recorded kernel event lists against the model",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := oneOf("-o", output, "text", "json", "ndjson"); err != nil {
				return err
			}
			var list []report.Replay
			code := exitOK
			for _, name := range args {
				data, err := a.readFile(name)
				if err != nil {
					return err
				}
				r, err := run.Replay(name, data)
				if err != nil {
					return err
				}
				if r.Difference != nil {
					code = exitFailed
				}
				switch output {
				case "text":
					fmt.Fprintln(a.out, r)
				case "ndjson":
					if err := report.WriteJSON(a.out, r, true); err != nil {
						return err
					}
				}
				list = append(list, *r)
			}
			if output == "json" {
				if err := report.WriteJSON(a.out, report.Replays{SchemaVersion: report.SchemaVersion, Kind: "Replays", Files: list}, false); err != nil {
					return err
				}
			}
			return exit(code)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "text", "text, json or ndjson")
	return c
}
