package emulator

import (
	"context"
	"net/netip"
	"os"

	"github.com/svclab/svclab/sim/box"
)

func init() { box.Register(shellRole, newShellAgent) }

const shellRole = "emulator.shell"

// openRequest makes the namespace.
type openRequest struct {
	Addrs  []netip.Addr
	MTU    int
	Conf   string // resolv.conf
	Remove string // a file to remove when the parent has died
}

// runRequest runs the program.
type runRequest struct {
	Argv     []string
	Dir      string
	Env      []string
	Terminal bool
}

// The files that the box is given.
const (
	passFile  = iota // over which the TUN is passed
	stdinFile        // and standard output and error after it
)

// newShellAgent is the box's side: it makes namespace and TUN, and runs the program.
func newShellAgent(in *box.Inside) (map[string]box.Handler, error) {
	a := &shellAgent{in: in}
	a.over = in.File(passFile)
	for i := range a.stdio {
		a.stdio[i] = in.File(stdinFile + i)
	}
	return map[string]box.Handler{"open": a.open, "run": a.run}, nil
}

type shellAgent struct {
	in    *box.Inside
	over  *os.File
	stdio [3]*os.File
	pod   *box.Namespace
}

func (a *shellAgent) open(_ context.Context, r *box.Request) error {
	var q openRequest
	if err := r.Decode(&q); err != nil {
		return err
	}
	if q.Remove != "" {
		a.in.AtEnd(func() { os.Remove(q.Remove) })
	}
	if err := a.in.ShowHost(); err != nil {
		return err
	}
	if err := a.in.Resolver(q.Conf); err != nil {
		return err
	}
	var err error
	if a.pod, err = a.in.NewNamespace("pod"); err != nil {
		return err
	}
	if err := a.pod.Up("lo"); err != nil {
		return err
	}
	tun, err := a.pod.TUN(ShellInterface, q.MTU)
	if err != nil {
		return err
	}
	defer tun.Close()
	for _, x := range q.Addrs {
		if err := a.pod.AddAddress(ShellInterface, netip.PrefixFrom(x, x.BitLen())); err != nil {
			return err
		}
		if err := a.pod.WaitLocal(x); err != nil {
			return err
		}
		if err := a.pod.DefaultRoute(ShellInterface, x); err != nil {
			return err
		}
	}
	return box.Pass(a.over, tun)
}

func (a *shellAgent) run(ctx context.Context, r *box.Request) error {
	var q runRequest
	if err := r.Decode(&q); err != nil {
		return err
	}
	exit, err := a.pod.Session(ctx, box.Session{Argv: q.Argv, Dir: q.Dir, Env: q.Env, Stdio: a.stdio, Terminal: q.Terminal})
	if err != nil {
		return err
	}
	return r.Answer(exit)
}

// Shell runs a program as a Pod of the cluster and returns its exit status. Names are asked of cluster DNS, packets to addresses that
// are not of the cluster are answered "administratively prohibited". When the program, the context or this process ends, however
// suddenly, all processes that it left, and the namespaces, end too. An error is a MissingError where the machine lacks something.
func (e *Emulator) Shell(ctx context.Context, s Shell) (exit int, err error) {
	c, err := e.shellClient(s.From)
	if err != nil {
		return 0, err
	}
	ours, theirs, err := box.Pair()
	if err != nil {
		return 0, err
	}
	defer ours.Close()
	stdio := s.Stdio
	var terminal *box.Terminal
	if s.Terminal {
		if terminal, err = box.OpenTerminal(); err != nil {
			theirs.Close()
			return 0, err
		}
		stdio = [3]*os.File{terminal.Far, terminal.Far, terminal.Far}
	}
	b, err := startShellBox(ctx, []*os.File{theirs, stdio[0], stdio[1], stdio[2]})
	theirs.Close()
	if err != nil {
		if terminal != nil {
			terminal.Close()
		}
		return 0, err
	}
	defer b.Close()
	if terminal != nil {
		stop, err := terminal.Relay(s.Stdio[0], s.Stdio[1])
		if err != nil {
			return 0, err
		}
		defer stop() // the terminal is given back after the box is gone
		defer b.Close()
	}
	if err := b.Call(ctx, "open", openRequest{c.Addrs, e.o.MTU, c.Conf.String(), s.Remove}, nil); err != nil {
		return 0, err
	}
	tun, err := box.Receive(ours)
	if err != nil {
		return 0, err
	}
	detach, err := e.attach(tun, c)
	if err != nil {
		tun.Close()
		return 0, err
	}
	defer detach()
	if s.Ready != nil {
		if err := s.Ready(c.Addrs); err != nil {
			return 0, err
		}
	}
	err = b.Call(ctx, "run", runRequest{s.Argv, s.Dir, s.Env, s.Terminal}, &exit)
	return exit, err
}

// startShellBox starts the box in a user namespace of its own, or, for root where there is none to be had, without.
func startShellBox(ctx context.Context, files []*os.File) (*box.Box, error) {
	b, err := box.Start(ctx, box.Config{Role: shellRole, User: box.Own, Files: files, Last: true})
	if _, missing := box.Missing(err); missing && box.Privileged() {
		return box.Start(ctx, box.Config{Role: shellRole, User: box.Shared, Files: files, Last: true})
	}
	return b, err
}

// shellClient is who a shell is: another Pod than the one that the doors' clients are, unless the user says.
func (e *Emulator) shellClient(from string) (c *Client, err error) {
	e.mu.Lock()
	e.shells++
	n := e.shells
	e.mu.Unlock()
	e.do(func() {
		if c, err = e.clientFrom(from); err != nil || from != "" {
			return
		}
		c.Name = "a shell on " + e.subject.Host.Name
		if c.Addrs = e.freePod(n); len(c.Addrs) == 0 {
			err = &InputError{What: "--shell", Why: "the local node has no address for another Pod: say who the shell is with --from"}
		}
	})
	switch {
	case err != nil || from == "":
		return c, err
	case e.isNode(c.Addrs[0]):
		return nil, &InputError{What: "--from", Text: from, Why: "is a node itself: a shell is a Pod, or a machine outside"}
	case e.listensAt(c.Addrs):
		return nil, &InputError{What: "--from", Text: from, Why: "is an endpoint that a built-in server stands behind"}
	}
	return c, nil
}
