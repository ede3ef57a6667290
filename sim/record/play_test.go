package record

import (
	"os"
	"path/filepath"
	"testing"
)

// Expectation: recordings of Linux 6.1.176, whose header says so.
func TestEveryIPVSRecordingIsPredicted(t *testing.T) {
	files, err := filepath.Glob("testdata/ipvs-*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			n, diff, err := Play(data)
			if err != nil {
				t.Fatal(err)
			}
			if diff != nil {
				t.Fatalf("%s\nservers %s", diff, diff.State)
			}
			if n == 0 {
				t.Fatal("no events")
			}
		})
	}
}
