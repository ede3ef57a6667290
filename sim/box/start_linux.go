package box

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// startTimeout bounds the time from exec to the child's first answer.
const startTimeout = 20 * time.Second

// stderrBytes is how much of the child's standard error is kept: the end of it, where a crash explains itself.
const stderrBytes = 16 << 10

func start(ctx context.Context, c Config) (*Box, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.User == Auto {
		c.User = Own
		if Privileged() {
			c.User = Shared
		}
	}
	inode, err := netInode("/proc/self/ns/net")
	if err != nil {
		return nil, err
	}
	lifeRead, lifeWrite, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("lifeline: %w", err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		lifeRead.Close()
		lifeWrite.Close()
		return nil, fmt.Errorf("socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "box"), os.NewFile(uintptr(pair[1]), "box child")
	stderr := &tail{max: stderrBytes}
	cmd := command(c, lifeRead, theirs, stderr)
	exited := make(chan error, 1)
	started := make(chan error, 1)
	go func() {
		// PDEATHSIG is sent when the thread that forked ends: keep it for as long as the child lives.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			exited <- cmd.Wait()
		}
	}()
	err = <-started
	lifeRead.Close()
	theirs.Close()
	if err != nil {
		lifeWrite.Close()
		ours.Close()
		return nil, startError(err, c.User)
	}
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		lifeWrite.Close()
		cmd.Process.Kill()
		<-exited
		return nil, fmt.Errorf("control socket: %w", err)
	}
	b := &Box{Conn: NewConn(conn), pid: cmd.Process.Pid, user: c.User, died: make(chan struct{})}
	go func() {
		<-exited
		lifeWrite.Close()
		conn.Close()
		close(b.died)
	}()
	var once sync.Once
	b.end = func() error {
		once.Do(func() {
			cmd.Process.Kill()
			lifeWrite.Close()
			<-b.died
			b.Conn.Close()
		})
		return nil
	}
	stop := context.AfterFunc(ctx, func() { b.end() })
	go func() { <-b.died; stop() }()

	hello, _ := json.Marshal(handshake{ParentNet: inode, Role: c.Role, OwnUser: c.User == Own, UML: c.UML})
	if _, err := lifeWrite.Write(append(hello, '\n')); err != nil {
		b.end()
		return nil, fmt.Errorf("handshake: %w", err)
	}
	limit := startTimeout
	if c.UML != nil {
		limit = umlStartTimeout
	}
	hctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := b.Call(hctx, "box.hello", nil, nil); err != nil {
		b.end()
		if errors.Is(err, ErrClosed) && ctx.Err() == nil {
			err = fmt.Errorf("%w at start: %s", ErrClosed, strings.TrimSpace(stderr.String()))
		}
		return nil, err
	}
	return b, nil
}

// command is the program itself, under the name by which Init knows it.
func command(c Config, lifeline, control *os.File, stderr *tail) *exec.Cmd {
	flags := unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWNET
	attr := &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL, Setsid: true}
	if c.Last {
		attr.Pdeathsig = 0
	}
	if c.User == Own {
		flags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	attr.Cloneflags = uintptr(flags)
	return &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{childName, c.Role}, Dir: "/",
		Env: []string{
			"PATH=" + toolPath, "LC_ALL=C", "TZ=UTC0", "HOME=/", "XTABLES_LOCKFILE=" + lockFile,
			// An interrupted connect has to be waited for by poll: spare the workers most of these.
			"GODEBUG=asyncpreemptoff=1",
		},
		Stderr: stderr, ExtraFiles: append([]*os.File{lifeline, control}, c.Files...), SysProcAttr: attr, WaitDelay: waitDelay,
	}
}

// startError names the reason for which the kernel refused a child its namespaces.
func startError(err error, user UserNamespace) error {
	if user == Shared {
		return &MissingError{What: "netns", Reason: NamespaceRefused, Err: err, Mend: "use the rootless vehicle, or run as root with CAP_SYS_ADMIN"}
	}
	return userNamespaceError(err)
}

func netInode(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, fmt.Errorf("network namespace %s: %w", path, err)
	}
	return st.Ino, nil
}

// tail keeps the last max bytes written to it.
type tail struct {
	mu  sync.Mutex
	b   bytes.Buffer
	max int
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b.Write(p)
	if n := t.b.Len() - t.max; n > 0 {
		t.b.Next(n)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}
