package main

import (
	"os"

	"github.com/google/renameio/v2"
)

// writeWhole writes a file that appears whole or not at all. What is there and is no regular file, a device or a pipe, is written to:
// /dev/null, in whose place root would else put a file.
func writeWhole(path string, data []byte) error {
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		return os.WriteFile(path, data, 0o644)
	}
	return renameio.WriteFile(path, data, 0o644)
}
