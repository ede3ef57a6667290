package box

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Terminal is a pseudo-terminal between a person's terminal and a program in a box (pty(7)): the box has no controlling terminal,
// and keys that interrupt belong to the program.
type Terminal struct {
	// Far is the program's end.
	Far *os.File

	near *os.File
}

// OpenTerminal makes a pseudo-terminal.
func OpenTerminal() (*Terminal, error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/ptmx: %w", err)
	}
	t := &Terminal{near: os.NewFile(uintptr(fd), "/dev/ptmx")}
	err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	n := 0
	if err == nil {
		n, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
	}
	if err == nil {
		t.Far, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.near.Close()
		return nil, fmt.Errorf("pseudo-terminal: %w", err)
	}
	return t, nil
}

// Close gives it up before it was used.
func (t *Terminal) Close() {
	t.Far.Close()
	t.near.Close()
}

// Relay joins a person's terminal to the pseudo-terminal, sizes included, until stop is called; stop gives the terminal back as it
// was, after what the program wrote last. The program's end is closed on this side.
func (t *Terminal) Relay(in, out *os.File) (stop func(), err error) {
	t.Far.Close()
	state, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return nil, fmt.Errorf("terminal: %w", err)
	}
	size := func() {
		if w, err := unix.IoctlGetWinsize(int(in.Fd()), unix.TIOCGWINSZ); err == nil {
			onFD(t.near, func(fd int) error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, w) })
		}
	}
	size()
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, unix.SIGWINCH)
	wrote := make(chan struct{})
	go func() {
		for range resized {
			size()
		}
	}()
	go io.Copy(t.near, in) // ends with the process: a read of a terminal cannot be called off
	go func() {
		defer close(wrote)
		io.Copy(out, t.near) // ends with EIO once nobody has the far end
	}()
	return func() {
		<-wrote
		signal.Stop(resized)
		close(resized)
		t.near.Close()
		if err := term.Restore(int(in.Fd()), state); err != nil {
			fmt.Fprintln(out, errors.Join(errors.New("the terminal stays as it is"), err))
		}
	}, nil
}
