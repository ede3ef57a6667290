package box

import (
	"errors"
	"fmt"
	"strings"
)

// Reason says what a machine lacks.
type Reason string

// The reasons, by when they show: before a box starts, while it starts, while it is used.
const (
	NeedsLinux       Reason = "needs Linux"
	UserNSDisabled   Reason = "user namespaces are switched off"
	UserNSExhausted  Reason = "no more user namespaces may be made"
	SeccompForbids   Reason = "a seccomp filter forbids new namespaces"
	AppArmorForbids  Reason = "AppArmor forbids unprivileged user namespaces"
	NamespaceRefused Reason = "the kernel refused new namespaces"
	ProcRefused      Reason = "mounting /proc in the box was refused"
	NoTool           Reason = "a program is not installed"
	NoKernelFeature  Reason = "the kernel lacks a feature"
	DiskFull         Reason = "the disk is full"
	TUNRefused       Reason = "the device may not be opened"
	NoModules        Reason = "the modules of User Mode Linux are not installed"
	MemoryShort      Reason = "too little memory for a kernel of its own"
	MemoryNoExec     Reason = "its memory cannot be mapped for execution"
	BootFailed       Reason = "User Mode Linux did not come up"
)

// MissingError says that the environment lacks something, and how to mend that. Commands end with exit code 3 on it.
type MissingError struct {
	What   string // the thing looked for: "iptables-legacy-restore", "rootless"
	Reason Reason
	Mend   string // a command that mends it, "" when there is none
	Err    error  // the underlying error, may be nil
}

func (e *MissingError) Error() string {
	var b strings.Builder
	b.WriteString(e.What + ": " + string(e.Reason))
	if e.Err != nil {
		b.WriteString(" (" + e.Err.Error() + ")")
	}
	if e.Mend != "" {
		b.WriteString("; to mend it: " + e.Mend)
	}
	return b.String()
}

// Unwrap returns the underlying error.
func (e *MissingError) Unwrap() error { return e.Err }

// Missing reports whether err says that the environment lacks something, and returns that.
func Missing(err error) (*MissingError, bool) {
	var m *MissingError
	ok := errors.As(err, &m)
	return m, ok
}

// ForeignNamespaceError says that a handle was about to be opened in a network namespace that is not the box's own.
type ForeignNamespaceError struct {
	Handle string // what was to be opened: "netlink", "iptables-restore"
	Inode  uint64 // of the network namespace, in nsfs
}

func (e *ForeignNamespaceError) Error() string {
	return fmt.Sprintf("refusing to open %s: network namespace %d is not of this box", e.Handle, e.Inode)
}

// ErrClosed is the answer to a call on a box that has ended; it is wrapped with the reason when one is known.
var ErrClosed = errors.New("the box has ended")

// RemoteError is an error that a role returned inside the box.
type RemoteError struct {
	Method string
	Text   string
}

func (e *RemoteError) Error() string { return e.Method + ": " + e.Text }

// CommandError is a program inside the box that failed.
type CommandError struct {
	Command  string // as a command line
	Exit     int    // exit status; -1 when it was killed
	TimedOut bool
	Output   string // the end of what it wrote to standard error
}

func (e *CommandError) Error() string {
	if e.TimedOut {
		return fmt.Sprintf("%s: timed out", e.Command)
	}
	return fmt.Sprintf("%s: exit status %d: %s", e.Command, e.Exit, strings.TrimSpace(e.Output))
}
