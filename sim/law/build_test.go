package law

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestBuildsElsewhere: the program builds for a Mac, where what needs Linux answers with a typed reason, and the model with
// the replay world builds for a browser.
func TestBuildsElsewhere(t *testing.T) {
	for _, c := range []struct {
		os, arch string
		packages []string
		why      string
	}{
		{"darwin", "arm64", r("./..."), "Linux-only code stands in _linux.go files with a typed answer beside them"},
		{"js", "wasm", r("./datapath/...", "./sim/replay/..."), "the engine runs in a browser: the model and its bare world need no operating system"},
	} {
		t.Run(c.os, func(t *testing.T) {
			t.Parallel()
			packages := c.packages
			if c.os == "js" {
				packages = nil
				for _, p := range c.packages {
					if _, err := os.Stat(filepath.Join(top(t), filepath.FromSlash(p[:len(p)-len("/...")]))); err == nil {
						packages = append(packages, p)
					}
				}
			}
			cmd := exec.Command("go", append([]string{"build"}, packages...)...)
			cmd.Dir = top(t)
			cmd.Env = append(os.Environ(), "GOOS="+c.os, "GOARCH="+c.arch, "CGO_ENABLED=0")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("GOOS=%s GOARCH=%s go build %v: %v\n%s(%s)", c.os, c.arch, packages, err, out, c.why)
			}
		})
	}
}
