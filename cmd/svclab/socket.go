package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// runtimeDir is the folder for sockets, made where it is not there: that of the user's session, else one of the user's own in the
// folder for temporary files, which anybody may write to: so it must be a folder of this user's that nobody else may enter.
func runtimeDir(env func(string) (string, bool)) (string, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("svclab-%d", os.Getuid()))
	if x, ok := env("XDG_RUNTIME_DIR"); ok && filepath.IsAbs(x) {
		dir = filepath.Join(x, "svclab")
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("folder for sockets: %w", err)
	}
	st, err := os.Lstat(dir)
	if err != nil {
		return "", fmt.Errorf("folder for sockets: %w", err)
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok || !st.IsDir() || st.Mode().Perm() != 0o700 || int(sys.Uid) != os.Geteuid() {
		return "", fmt.Errorf("folder for sockets: %s is not a folder of this user's alone (mode 0700)", dir)
	}
	return dir, nil
}

// socketPath is where a new emulator listens for ctl.
func socketPath(given string, env func(string) (string, bool)) (string, error) {
	if given != "" {
		return filepath.Abs(given)
	}
	dir, err := runtimeDir(env)
	if err != nil {
		return "", err
	}
	live(dir) // sockets of processes that were killed go now
	return filepath.Join(dir, fmt.Sprintf("up-%d.sock", os.Getpid())), nil
}

// listenUnix listens on a socket that only this user may connect to. One that nobody listens on any more gives way.
func listenUnix(path string) (net.Listener, error) {
	l, err := net.Listen("unix", path)
	if errors.Is(err, syscall.EADDRINUSE) && !answers(path) {
		if st, e := os.Lstat(path); e == nil && st.Mode()&fs.ModeSocket != 0 {
			os.Remove(path)
			l, err = net.Listen("unix", path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return l, nil
}

func answers(path string) bool {
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
	}
	return err == nil
}

// live lists the sockets in a folder that somebody listens on, and removes the others.
func live(dir string) (out []string) {
	list, _ := filepath.Glob(filepath.Join(dir, "up-*.sock"))
	for _, path := range list {
		c, err := net.DialTimeout("unix", path, time.Second)
		switch {
		case err == nil:
			c.Close()
			out = append(out, path)
		case errors.Is(err, syscall.ECONNREFUSED):
			os.Remove(path)
		}
	}
	slices.Sort(out)
	return out
}

// findSocket finds the emulator that is meant: the one given, or the only one that runs.
func findSocket(given string, env func(string) (string, bool)) (string, error) {
	if given != "" {
		return given, nil
	}
	dir, err := runtimeDir(env)
	if err != nil {
		return "", err
	}
	switch list := live(dir); len(list) {
	case 1:
		return list[0], nil
	case 0:
		return "", &codeError{exitEnvironment, errors.New("no svclab up is running; to start one: svclab up FILE")}
	default:
		return "", fmt.Errorf("%d of svclab up are running; say which with --socket: %s", len(list), strings.Join(list, ", "))
	}
}
