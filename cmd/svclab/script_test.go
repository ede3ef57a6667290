package main

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/svclab/svclab/sim/box"
)

var update = flag.Bool("update", false, "rewrite the expected outputs in testdata/script")

func TestMain(m *testing.M) {
	box.Init()
	testscript.Main(m, map[string]func(){"svclab": main})
}

// TestScripts runs the scripts of testdata/script: every verb, and every kind of bad input.
func TestScripts(t *testing.T) {
	shipped, err := filepath.Abs("../../scenarios")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Setup: func(e *testscript.Env) error {
			files, err := filepath.Glob(filepath.Join(shipped, "*"))
			if err != nil {
				return err
			}
			for _, f := range files {
				if filepath.Ext(f) == ".go" {
					continue
				}
				text, err := os.ReadFile(f)
				if err != nil {
					return err
				}
				if err := os.WriteFile(filepath.Join(e.WorkDir, filepath.Base(f)), text, 0o644); err != nil {
					return err
				}
			}
			return nil
		},
	})
}
