package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/sequence"
)

func (a *app) syncCommand() *cobra.Command {
	var mode, output string
	c := &cobra.Command{
		Use:   "sync FILE",
		Short: "Show what kube-proxy does in each step of a sequence of changes",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			m, err := parseMode(mode)
			if err != nil {
				return err
			}
			if err := oneOf("-o", output, "text", "table", "json", "ndjson"); err != nil {
				return err
			}
			data, err := a.readFile(args[0])
			if err != nil {
				return err
			}
			s, err := sequence.Parse(args[0], data)
			if err != nil {
				return err
			}
			r, err := sequence.Play(args[0], s, m)
			if err != nil {
				return err
			}
			if output == "json" || output == "ndjson" {
				return report.WriteJSON(a.out, r, output == "ndjson")
			}
			for i, st := range r.Steps {
				fmt.Fprintf(a.out, "%d %s: %s, after %gs\n", i, st.Name, strings.TrimPrefix(st.Sync+" sync", " "), st.AtSeconds)
				for _, w := range st.Work.IPTablesRestore {
					fmt.Fprintf(a.out, "  iptables-restore: %d lines\n", w.Lines)
				}
				for _, w := range st.Work.NFT {
					fmt.Fprintf(a.out, "  nft: %d operations\n", w.Operations)
				}
				if st.Conntrack != nil && len(st.Conntrack.Deleted) > 0 {
					fmt.Fprintf(a.out, "  conntrack: %d flows deleted\n", len(st.Conntrack.Deleted))
				}
			}
			return nil
		},
	}
	c.Flags().StringVar(&mode, "mode", "", "kube-proxy's mode at the start (default: the configuration's, else iptables)")
	c.Flags().StringVarP(&output, "output", "o", "text", "text, json or ndjson")
	return c
}
