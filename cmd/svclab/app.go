package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/svclab/svclab/sim/report"
)

// app is one run of the program.
type app struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) (string, bool)
	ascii    bool
}

// Main runs the program with its arguments and returns its exit code.
func Main(args []string, in io.Reader, out, errs io.Writer, env func(string) (string, bool)) (code int) {
	a := &app{in: in, out: out, err: errs, env: env}
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(errs, "svclab: internal error: %v\nThis is a fault of the program, not of its input; the lines below say where.\n%s", p, debug.Stack())
			code = exitInternal
		}
	}()
	ctx, stop, signalled := interruptible()
	defer stop()
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	err := root.ExecuteContext(ctx)
	code = codeOf(err)
	if code == exitInterrupted {
		code = signalled()
	}
	var c *codeError
	switch {
	case err == context.Canceled:
		fmt.Fprintln(errs, "svclab: interrupted")
	case err != nil && !(errors.As(err, &c) && c.err == nil):
		fmt.Fprintf(errs, "svclab: %s\n", strings.TrimRight(err.Error(), "\n"))
	}
	return code
}

// interruptible is a context that ends on SIGINT or SIGTERM, and the exit code for the one that came.
func interruptible() (ctx context.Context, stop func(), code func() int) {
	ctx, cancel := context.WithCancel(context.Background())
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, os.Interrupt, syscall.SIGTERM)
	var terminated atomic.Bool
	go func() {
		select {
		case s := <-ch:
			terminated.Store(s == syscall.SIGTERM)
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() { signal.Stop(ch); cancel() }, func() int {
		if terminated.Load() {
			return exitTerminated
		}
		return exitInterrupted
	}
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "svclab",
		Short:         "Simulate and emulate the Kubernetes service datapath",
		Long:          "svclab shows what kube-proxy programs for your Services and walks packets through it as the Linux kernel does.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return c.Help()
		},
	}
	root.PersistentFlags().BoolVar(&a.ascii, "ascii", false, "no signs beyond ASCII in text")
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error { return a.fromEnvironment(c.Flags()) }
	root.AddCommand(
		a.rulesCommand(), a.fmtDumpCommand(), a.traceCommand(), a.explainCommand(), a.runCommand(), a.compareCommand(), a.recordCommand(), a.curveCommand(), a.doctorCommand(),
		a.validateCommand(), a.schemaCommand(), a.initCommand(),
		a.replayCommand(), a.upCommand(), a.ctlCommand(), a.syncCommand(), a.dnsCommand(), a.demoCommand(), a.versionCommand(),
	)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w (see %s --help)", err, c.CommandPath())
	})
	return root
}

// fromEnvironment gives flags that were not set the value of their variable: --node-ip from SVCLAB_NODE_IP.
func (a *app) fromEnvironment(flags *pflag.FlagSet) (err error) {
	flags.VisitAll(func(f *pflag.Flag) {
		name := "SVCLAB_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		v, ok := a.env(name)
		if !ok || f.Changed || err != nil || f.Name == "help" {
			return
		}
		if e := flags.Set(f.Name, v); e != nil {
			err = fmt.Errorf("%s: %w", name, e)
		}
	})
	return err
}

// style decides how text looks: NO_COLOR and TERM=dumb forbid colour, CLICOLOR_FORCE asks for it, else a terminal has it.
func (a *app) style() report.Style {
	dumb, _ := a.env("TERM")
	s := report.Style{ASCII: a.ascii || dumb == "dumb"}
	force, _ := a.env("CLICOLOR_FORCE")
	no, _ := a.env("NO_COLOR")
	switch {
	case no != "" || dumb == "dumb":
	case force != "" && force != "0":
		s.Color = true
	default:
		s.Color = isTerminal(a.out)
	}
	return s
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (a *app) warn(list []string) {
	for _, w := range list {
		fmt.Fprintln(a.err, "svclab:", w)
	}
}
