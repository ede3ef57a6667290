package main

import (
	"github.com/spf13/cobra"
)

func (a *app) recordCommand() *cobra.Command {
	return &cobra.Command{Use: "record FILE", Short: "Record a run of a real kernel", Hidden: true}
}
