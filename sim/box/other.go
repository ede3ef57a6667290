//go:build !linux

package box

import (
	"context"
	"errors"
)

// Init does nothing: boxes are made of Linux namespaces.
func Init() {}

// Inside is a box seen from inside; there is none here.
type Inside struct{}

// Privileged is false where there are no namespaces.
func Privileged() bool { return false }

func start(context.Context, Config) (*Box, error) {
	return nil, &MissingError{What: "box", Reason: NeedsLinux, Mend: "run it in a Linux virtual machine or container"}
}

// KernelRelease is "" where it is no Linux.
func KernelRelease() string { return "" }

// Tool finds no program: there is no box to run it in.
func Tool(name string) (string, error) {
	return "", &MissingError{What: name, Reason: NeedsLinux, Err: errors.ErrUnsupported}
}
