package box

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Session runs a program in the namespace until it ends or the context does, and returns its exit status, as a shell tells it: 128
// and the number of the signal that ended it. What the program leaves running ends with the box. An error is a MissingError where
// there is no such program.
func (n *Namespace) Session(ctx context.Context, s Session) (exit int, err error) {
	path, err := sessionPath(s)
	if err != nil {
		return 0, err
	}
	if _, err := os.Stat(s.Dir); err != nil {
		s.Dir = "/"
	}
	err = n.Do(func() error {
		if err := n.in.guard(s.Argv[0]); err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, path, s.Argv[1:]...)
		cmd.Args[0] = s.Argv[0]
		cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = s.Dir, s.Env, s.Stdio[0], s.Stdio[1], s.Stdio[2]
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL, Setsid: true, Setctty: s.Terminal}
		if err := cmd.Start(); err != nil {
			return err
		}
		defer reap(cmd.Process.Pid)()
		return cmd.Wait()
	})
	var ended *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case !errors.As(err, &ended):
		return 0, fmt.Errorf("%s: %w", s.Argv[0], err)
	}
	if st, ok := ended.Sys().(syscall.WaitStatus); ok && st.Signaled() {
		return 128 + int(st.Signal()), nil
	}
	return ended.ExitCode(), nil
}

// sessionPath finds the program by the PATH of its own environment.
func sessionPath(s Session) (string, error) {
	for _, v := range s.Env {
		if list, ok := strings.CutPrefix(v, "PATH="); ok {
			defer os.Setenv("PATH", os.Getenv("PATH"))
			os.Setenv("PATH", list+":"+toolPath)
		}
	}
	path, err := exec.LookPath(s.Argv[0])
	if err != nil {
		return "", toolMissing(s.Argv[0], err)
	}
	return path, nil
}

// reap waits for orphans, which the kernel hands to the first process of the pid namespace, until it is stopped. The program itself
// is left to whoever started it.
func reap(except int) (stop func()) {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-ended:
			}
			for _, pid := range zombies() {
				if pid != except {
					unix.Wait4(pid, nil, unix.WNOHANG, nil)
				}
			}
		}
	}()
	return func() { signal.Stop(ended); close(done) }
}

// zombies lists the children of this process that have ended and were not waited for (proc_pid_stat(5)).
func zombies() (out []int) {
	list, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range list {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(b), ") ") // after the program's name
		var state string
		var parent int
		if _, err := fmt.Sscan(rest, &state, &parent); err != nil || state != "Z" || parent != os.Getpid() {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
			out = append(out, pid)
		}
	}
	return out
}
