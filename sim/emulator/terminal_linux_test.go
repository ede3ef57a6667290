package emulator_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/svclab/svclab/sim/box"
	"github.com/svclab/svclab/sim/emulator"
)

// person is somebody at a terminal: near is the side of the keys and the eyes, far that of programs.
type person struct {
	near, far *os.File
	mu        sync.Mutex
	seen      string
}

func newPerson(t *testing.T) *person {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("there are no pseudo-terminals here: %v", err)
	}
	p := &person{near: os.NewFile(uintptr(fd), "ptmx")}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if p.far, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 41, Col: 123}); err != nil {
		t.Fatal(err)
	}
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := p.near.Read(b)
			p.mu.Lock()
			p.seen += string(b[:n])
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return p
}

func (p *person) types(keys string) { p.near.WriteString(keys) }

func (p *person) sees(t *testing.T, want string) {
	t.Helper()
	p.seesTimes(t, 1, want)
}

// seesTimes waits until something has been seen so often.
func (p *person) seesTimes(t *testing.T, n int, want string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		p.mu.Lock()
		seen := p.seen
		p.mu.Unlock()
		if strings.Count(seen, want) >= n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("does not see %q %d times in %q", want, n, seen)
		}
	}
}

// TestKernelTerminal: a shell at a terminal has a terminal of its own, of the same size, with job control and the keys that interrupt;
// afterwards the person's terminal is as it was.
func TestKernelTerminal(t *testing.T) {
	needKernel(t)
	e := open(t, emulator.Options{}) // the reader of keys ends with the process, so goroutines are not counted here
	defer e.Close()
	p := newPerson(t)
	defer p.near.Close()
	defer p.far.Close()
	before, err := unix.IoctlGetTermios(int(p.far.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	type result struct {
		code int
		err  error
	}
	ended := make(chan result, 1)
	ready := make(chan struct{})
	go func() {
		code, err := e.Shell(context.Background(), emulator.Shell{
			Argv: []string{"/bin/sh", "-i"}, Dir: "/", Env: append(os.Environ(), "PS1=ready> ", "ENV="), Terminal: true,
			Stdio: [3]*os.File{p.far, p.far, p.far},
			Ready: func([]netip.Addr) error { close(ready); return nil },
		})
		ended <- result{code, err}
	}()
	select {
	case r := <-ended:
		if m, ok := box.Missing(r.err); ok {
			t.Skipf("%s: %s; to mend it: %s", m.What, m.Reason, m.Mend)
		}
		t.Fatalf("%+v", r)
	case <-ready:
	}
	p.sees(t, "ready> ")
	p.types("stty size\n")
	p.sees(t, "41 123\r\n")
	p.seesTimes(t, 2, "ready> ")
	p.types("cat; echo interrupted\n")
	p.types("typed\n")
	p.seesTimes(t, 2, "typed\r\n") // the terminal's echo, and what cat makes of it
	p.types("\x03")
	p.seesTimes(t, 3, "ready> ")
	p.types("echo go-on\n")
	p.sees(t, "\r\ngo-on\r\n")
	p.mu.Lock()
	if strings.Contains(p.seen, "\ninterrupted") {
		t.Errorf("the key ends the program alone: %q", p.seen)
	}
	p.mu.Unlock()
	p.types("exit 9\n")
	select {
	case r := <-ended:
		if r.code != 9 || r.err != nil {
			t.Errorf("%+v", r)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the shell does not end")
	}
	after, err := unix.IoctlGetTermios(int(p.far.Fd()), unix.TCGETS)
	if err != nil || !reflect.DeepEqual(before, after) {
		t.Errorf("the terminal is %+v, was %+v: %v", after, before, err)
	}
}
