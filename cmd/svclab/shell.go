package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/svclab/svclab/sim/emulator"
)

// shellRequest is a shell, or a command, in the emulated cluster.
type shellRequest struct {
	command []string
	from    string
	socket  string
	ready   func() error // opens the control socket
	opened  doors
	tell    func() // tells a person how to go on
}

// shell runs a program as a Pod and ends with its exit code.
func (a *app) shell(ctx context.Context, e *emulator.Emulator, q shellRequest) error {
	s := emulator.Shell{Argv: q.command, Env: a.shellEnvironment(q.socket), From: q.from, Remove: q.socket}
	if len(s.Argv) == 0 {
		s.Argv = []string{"/bin/sh"}
		if sh, ok := a.env("SHELL"); ok && sh != "" {
			s.Argv[0] = sh
		}
	}
	if dir, err := os.Getwd(); err == nil {
		s.Dir = dir
	}
	var closing []*os.File
	defer func() {
		for _, f := range closing {
			f.Close()
		}
	}()
	for i, x := range []any{a.in, a.out, a.err} {
		f, ok := x.(*os.File)
		if !ok {
			var err error
			if f, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
				return err
			}
			closing = append(closing, f)
		}
		s.Stdio[i] = f
	}
	s.Terminal = isTerminal(s.Stdio[0]) && isTerminal(s.Stdio[1])
	s.Ready = func(addrs []netip.Addr) error {
		q.opened.From = nil
		for _, x := range addrs {
			q.opened.From = append(q.opened.From, x.String())
		}
		if err := q.ready(); err != nil {
			return err
		}
		if err := q.opened.write(a.err); err != nil || len(q.command) > 0 || !s.Terminal {
			return err
		}
		q.tell()
		fmt.Fprintf(a.err, "this shell is a Pod, %s: curl http://%s/; exit ends the emulator\n", strings.Join(q.opened.From, ", "), e.Example())
		return nil
	}
	code, err := e.Shell(ctx, s)
	switch {
	case context.Cause(ctx) == errStopped:
		return nil
	case ctx.Err() != nil:
		return exit(exitInterrupted)
	case err != nil:
		return environment(err)
	}
	return exit(code)
}

// shellEnvironment is this process's, with the socket by which svclab ctl finds this emulator.
func (a *app) shellEnvironment(socket string) []string {
	return append(os.Environ(), "SVCLAB_SOCKET="+socket)
}
