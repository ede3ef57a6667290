package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/sim/scenario"
)

// schemaFile is the name of the schema that init writes beside a scenario.
const schemaFile = "svclab.schema.json"

// starter is the scenario that init writes. Its first line tells editors which schema it follows.
//
//go:embed starter.yaml
var starter string

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of scenarios",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			text, err := scenario.Schema()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.out, "%s\n", text)
			return err
		},
	}
}

func (a *app) initCommand() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "init [FILE]",
		Short: "Write a starter scenario, and its schema beside it",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			name := "scenario.yaml"
			if len(args) > 0 {
				name = args[0]
			}
			if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) && !force {
				return fmt.Errorf("%s is there already: name another file, or give --force", name)
			}
			text, err := scenario.Schema()
			if err != nil {
				return err
			}
			beside := filepath.Join(filepath.Dir(name), schemaFile)
			if err := writeWhole(beside, append(text, '\n')); err != nil {
				return err
			}
			if err := writeWhole(name, []byte(starter)); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "%s\n%s\n", name, beside)
			return nil
		},
	}
	c.Flags().BoolVar(&force, "force", false, "write over a file that is there")
	return c
}
