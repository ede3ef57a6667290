//go:build !linux

package emulator

import (
	"context"

	"github.com/svclab/svclab/sim/box"
)

// Shell cannot run where there are no Linux namespaces. The error is a MissingError.
func (e *Emulator) Shell(context.Context, Shell) (int, error) {
	return 0, &box.MissingError{What: "up --shell", Reason: box.NeedsLinux, Mend: "run it in a Linux virtual machine or container, or use the SOCKS5 door"}
}
