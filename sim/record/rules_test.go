package record

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The model picks, counts and lists as the kernels that were recorded, legacy and nft.
func TestRecordedRules(t *testing.T) {
	files, err := filepath.Glob("testdata/iptables-*.json")
	if err != nil || len(files) < 16 {
		t.Fatalf("%d recordings, %v", len(files), err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".json"), func(t *testing.T) {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			n, diff, err := PlayRules(data)
			if err != nil {
				t.Fatal(err)
			}
			if diff != nil {
				t.Fatalf("%s\n%s", diff, diff.State)
			}
			if n == 0 {
				t.Error("no events")
			}
		})
	}
}

// Each of these edits makes a recording that no kernel could have made under its rules; the player must say where.
func TestRulesPlayerFindsDifferences(t *testing.T) {
	edits := []struct{ file, old, new, where string }{
		{"iptables-nth-every3", `--every 3 --packet 0`, `--every 3 --packet 1`, "event=0"},
		{"iptables-recent-affinity", `--seconds 4`, `--seconds 9`, "event="},
		{"iptables-recent-limit", `"10.1.1.100"`, `"10.1.1.1"`, "event="},
		{"iptables-random-tcp", `--probability 0.33333333349`, `--probability 0.36`, "e-value"},
		{"iptables-rule-counters", `[9:540] -A PREROUTING`, `[8:480] -A PREROUTING`, "[8:480]"},
	}
	for _, e := range edits {
		t.Run(e.file, func(t *testing.T) {
			data, err := os.ReadFile("testdata/" + e.file + ".json")
			if err != nil {
				t.Fatal(err)
			}
			text := string(data)
			if !strings.Contains(text, e.old) {
				t.Fatalf("%q is not in the recording", e.old)
			}
			_, diff, err := PlayRules([]byte(strings.ReplaceAll(text, e.old, e.new)))
			if err != nil {
				t.Fatal(err)
			}
			if diff == nil {
				t.Fatal("no difference found")
			}
			if !strings.Contains(diff.String(), e.where) {
				t.Errorf("found %s, want %s", diff, e.where)
			}
		})
	}
}
