package box

import (
	"context"
	"fmt"
	"os"
)

// Config says what a box runs.
type Config struct {
	Role string // a role that Register was told of
	User UserNamespace
	UML  *UML // a kernel of its own that the role is served in; nil for the host's

	Files []*os.File // handed to the role: Inside.File
	Last  bool       // the role does something last when the parent has died: Inside.AtEnd. No signal ends the box before that.
}

// UML is a kernel of its own: User Mode Linux, which runs as an ordinary process inside the box.
type UML struct {
	MemoryMiB int // of the kernel; 0 means 512. The host gives a page when it is first used.
}

// UserNamespace says whether a box gets a user namespace of its own.
type UserNamespace uint8

// The choices. Auto takes the caller's own privileges when they suffice, and a new user namespace otherwise.
const (
	Auto   UserNamespace = iota
	Own                  // a new one: needs no privilege
	Shared               // the caller's: needs CAP_SYS_ADMIN and CAP_NET_ADMIN
)

func (u UserNamespace) String() string {
	switch u {
	case Own:
		return "own"
	case Shared:
		return "shared"
	}
	return "auto"
}

// Role serves a box from inside: it returns the handlers of its methods.
type Role func(in *Inside) (map[string]Handler, error)

var roles = map[string]Role{}

// Register names a role. It is called from an init function, so that Init finds it.
func Register(name string, r Role) {
	if roles[name] != nil {
		panic("box: role " + name + " is registered twice")
	}
	roles[name] = r
}

// The arguments by which the program knows that it is a box's child.
const childName = "svclab-box"

// handshake is the first thing that a child reads from its lifeline.
type handshake struct {
	ParentNet uint64 // inode of the parent's network namespace
	Role      string
	OwnUser   bool
	UML       *UML
}

// Box is a running child. Its methods may be used by several goroutines.
type Box struct {
	*Conn
	pid  int
	user UserNamespace
	end  func() error
	died chan struct{}
}

// PID is the child's process id, in the caller's pid namespace.
func (b *Box) PID() int { return b.pid }

// User says whether the box has a user namespace of its own (Own) or the caller's (Shared).
func (b *Box) User() UserNamespace { return b.user }

// Close kills the box and waits until its processes are gone. It is harmless to call it twice.
func (b *Box) Close() error { return b.end() }

// Died is closed once the child's process has been waited for.
func (b *Box) Died() <-chan struct{} { return b.died }

// Start runs a role in a new box. When ctx ends, the box is killed. An error is a MissingError where the machine lacks
// something, with the command that mends it.
func Start(ctx context.Context, c Config) (*Box, error) {
	if roles[c.Role] == nil {
		return nil, fmt.Errorf("box: no role %q is registered", c.Role)
	}
	return start(ctx, c)
}
