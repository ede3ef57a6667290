package box

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Where a box keeps what tools want to write: in its own tmpfs.
const (
	lockFile = "/run/xtables.lock"
	toolPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// The file descriptors that a child inherits.
const (
	lifelineFD = 3
	controlFD  = 4
)

// Init must be the first call in main, and in TestMain of tests that start boxes: in a box's child it serves the box and does
// not return; elsewhere it does nothing.
func Init() {
	if os.Getpid() == 1 && len(os.Args) >= 3 && os.Args[1] == umlName {
		os.Exit(umlInit(os.Args[2]))
	}
	if len(os.Args) != 2 || os.Args[0] != childName {
		return
	}
	code := child()
	endings.run()
	os.Exit(code)
}

// Inside is a box seen from inside. Its threads are in a network namespace with nothing in it, unless they enter another.
type Inside struct {
	parentNet uint64
	OwnUser   bool // the box has a user namespace of its own
	UML       bool // it is a kernel of its own, with one processor
}

func child() int {
	lifeline := os.NewFile(lifelineFD, "lifeline")
	r := bufio.NewReader(lifeline)
	line, err := r.ReadBytes('\n')
	if err != nil {
		return 1 // the parent is gone before it said anything
	}
	go func() {
		r.ReadByte() // nothing more is ever sent: this returns when the parent is gone
		endings.run()
		os.Exit(1)
	}()
	unix.CloseOnExec(lifelineFD)
	unix.CloseOnExec(controlFD)
	control := os.NewFile(controlFD, "control")
	conn, err := net.FileConn(control)
	control.Close()
	if err != nil {
		fmt.Fprintln(os.Stderr, "control socket:", err)
		return 1
	}
	var h handshake
	if err := json.Unmarshal(line, &h); err != nil {
		fmt.Fprintln(os.Stderr, "handshake:", err)
		return 1
	}
	in := &Inside{parentNet: h.ParentNet, OwnUser: h.OwnUser}
	handlers, err := in.prepare(h)
	if handlers == nil {
		handlers = map[string]Handler{}
	}
	handlers["box.hello"] = func(context.Context, *Request) error { return err }
	if err := Serve(conn, handlers); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func (in *Inside) prepare(h handshake) (map[string]Handler, error) {
	if err := in.guard("the box"); err != nil {
		return nil, err
	}
	if os.Getpid() != 1 {
		return nil, errors.New("the box is not in a pid namespace of its own")
	}
	if err := in.mounts(); err != nil {
		return nil, err
	}
	if err := unix.Sethostname([]byte("svclab")); err != nil {
		return nil, fmt.Errorf("host name: %w", err)
	}
	r := roles[h.Role]
	if r == nil {
		return nil, fmt.Errorf("the box knows no role %q", h.Role)
	}
	if h.UML != nil {
		return in.bootUML(h.Role, *h.UML)
	}
	return r(in)
}

// guard refuses to go on in the parent's network namespace.
func (in *Inside) guard(handle string) error {
	inode, err := netInode("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	if in.parentNet == 0 || inode == in.parentNet {
		return &ForeignNamespaceError{Handle: handle, Inode: inode}
	}
	return nil
}

// mounts makes the box's mounts private, with a /proc of its own pid namespace and empty /run and /tmp.
func (in *Inside) mounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		e := &MissingError{What: "box", Reason: NamespaceRefused, Err: fmt.Errorf("making mounts private: %w", err)}
		if in.OwnUser && appArmorRestricts() {
			e.Reason, e.Mend = AppArmorForbids, appArmorMend
		}
		return e
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return &MissingError{
			What: "box", Reason: ProcRefused, Err: err,
			Mend: "in a container, start it with an unmasked /proc: docker run --security-opt systempaths=unconfined --security-opt seccomp=unconfined",
		}
	}
	for _, dir := range []string{"/run", "/tmp"} {
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=64m,mode=0755"); err != nil {
			return fmt.Errorf("tmpfs on %s: %w", dir, err)
		}
	}
	return nil
}
