package box

import (
	"os"
	"strings"
	"testing"
)

// noexec finds a folder that is mounted noexec, "" without one.
func noexec() string {
	b, _ := os.ReadFile("/proc/self/mounts")
	for _, l := range strings.Split(string(b), "\n") {
		if f := strings.Fields(l); len(f) > 3 && strings.Contains(f[3], "noexec") {
			if _, err := os.ReadDir(f[1]); err == nil {
				return f[1]
			}
		}
	}
	return ""
}

// TestUMLMemory: a folder for a kernel's memory must be large enough and allow execution; both reasons are typed and mended by a
// command.
func TestUMLMemory(t *testing.T) {
	for _, c := range []struct {
		dir    string
		mib    int
		reason Reason
	}{{noexec(), 1, MemoryNoExec}, {t.TempDir(), 1 << 40, MemoryShort}} {
		if c.dir == "" {
			t.Log("nothing is mounted noexec here: that reason is not tried")
			continue
		}
		m, ok := Missing(umlMemoryFits(c.dir, c.mib))
		if !ok || m.Reason != c.reason || m.Mend == "" {
			t.Errorf("%s, %d MiB: %+v", c.dir, c.mib, m)
		}
	}
	if err := umlMemoryFits(t.TempDir(), 1); err != nil {
		if m, ok := Missing(err); !ok || m.Reason != MemoryNoExec {
			t.Errorf("1 MiB: %v", err)
		}
	}
}
