package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// TestReadme runs every command block of the README in a clean clone. The whole test suite is compiled there and not run: this
// test is part of it.
func TestReadme(t *testing.T) {
	top, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	clone := filepath.Join(t.TempDir(), "svclab")
	command(t, top, "git", "clone", "-q", "--no-hardlinks", top, clone)
	text, err := os.ReadFile(filepath.Join(clone, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := shellBlock.FindAllStringSubmatch(string(text), -1)
	if len(blocks) == 0 {
		t.Fatal("the README has no command block")
	}
	for _, b := range blocks {
		out := command(t, clone, "bash", "-euo", "pipefail", "-c", b[1])
		for _, want := range promised(string(text), b[0]) {
			if !strings.Contains(out, want) {
				t.Errorf("the README promises %q of\n%s\nbut it prints\n%s", want, b[1], out)
			}
		}
	}
}

var sourceFile = regexp.MustCompile("`([a-z0-9_/]+/[a-z0-9_]+\\.go)`")

// TestReadmeMap: the files that the README leads through are there.
func TestReadmeMap(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	found := sourceFile.FindAllStringSubmatch(string(text), -1)
	if len(found) < 8 {
		t.Errorf("only %d files named", len(found))
	}
	for _, m := range found {
		if _, err := os.Stat(filepath.Join("../..", m[1])); err != nil {
			t.Errorf("the README names %s: %v", m[1], err)
		}
	}
}

// promised lists the lines of the text block that stands right after a command block: what its commands print, with … for
// what is left out.
func promised(readme, block string) (lines []string) {
	_, after, _ := strings.Cut(readme, block)
	body, ok := strings.CutPrefix(after, "\n\n```text\n")
	if !ok {
		return nil
	}
	body, _, _ = strings.Cut(body, "```")
	for l := range strings.Lines(body) {
		for _, part := range strings.Split(strings.TrimRight(l, "\n"), "…") {
			if part = strings.TrimSpace(part); part != "" {
				lines = append(lines, part)
			}
		}
	}
	return lines
}

func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TESTFLAGS=-run=^$", "NO_COLOR=1", "GOFLAGS=-mod=readonly")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
