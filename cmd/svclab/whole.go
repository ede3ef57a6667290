package main

import (
	"io"
	"os"

	"github.com/google/renameio/v2"
)

// writeWhole writes a file that appears whole or not at all. What is there and is no regular file, a device or a pipe, is written to:
// /dev/null, in whose place root would else put a file.
func writeWhole(path string, data []byte) error {
	if isDevice(path) {
		return os.WriteFile(path, data, 0o644)
	}
	return renameio.WriteFile(path, data, 0o644)
}

func isDevice(path string) bool {
	st, err := os.Stat(path)
	return err == nil && !st.Mode().IsRegular()
}

// whole is a file that is written bit by bit and appears when it is kept, or a device or pipe that is written to at once.
type whole struct {
	io.Writer
	keep, drop func() error
}

func openWhole(path string) (*whole, error) {
	if isDevice(path) {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return nil, err
		}
		return &whole{f, f.Close, f.Close}, nil
	}
	f, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o644), renameio.WithExistingPermissions())
	if err != nil {
		return nil, err
	}
	return &whole{f, f.CloseAtomicallyReplace, f.Cleanup}, nil
}
