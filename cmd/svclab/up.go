package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/sim/emulator"
	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/run"
	"github.com/svclab/svclab/sim/scenario"
)

// upFlags are the flags of svclab up.
type upFlags struct {
	subject  subjectFlags
	o        emulator.Options
	backends []string
	socks    string
	http     string
	socket   string
	listen   bool
	shell    bool
	capture  string
	captured captureOptions
}

func (a *app) upCommand() *cobra.Command {
	var f upFlags
	c := &cobra.Command{
		Use:   "up FILE... [--shell [-- COMMAND...]]",
		Short: "Bring a cluster to life: curl works, through a proxy or in a shell",
		Long: "up emulates the node and the Pods of manifests, or of a scenario, and opens doors for real programs: a SOCKS5 and an HTTP proxy\n" +
			"on loopback, and with --shell a shell in a network namespace of its own, without root. Names are asked of cluster DNS inside.\n" +
			"Behind every endpoint a built-in server names its Pod, or a process of yours answers (--backend). svclab ctl looks in and\n" +
			"changes things meanwhile. Nothing is ever relayed to the real network.\n\n" +
			"The first line is JSON and says where the doors are: on standard output, or with --shell on standard error.",
		Example: "  svclab up nginx.yaml\n  curl -x socks5h://127.0.0.1:PORT http://nginx.default.svc.cluster.local/\n  svclab up nginx.yaml --shell -- curl -s 10.102.19.139",
		RunE: func(c *cobra.Command, args []string) error {
			files, command := args, []string(nil)
			if n := c.ArgsLenAtDash(); n >= 0 {
				files, command = args[:n], args[n:]
			}
			if !f.shell && command != nil {
				return fmt.Errorf("%q: a command needs --shell", strings.Join(command, " "))
			}
			f.subject.files = append(f.subject.files, files...)
			if f.shell {
				if !c.Flags().Changed("socks") {
					f.socks = ""
				}
				if !c.Flags().Changed("http") {
					f.http = ""
				}
			}
			return a.up(c.Context(), &f, command)
		},
	}
	f.subject.add(c, false)
	s := c.Flags()
	s.StringVar(&f.o.From, "from", "", "who clients are: NAMESPACE/POD or an address (default: a Pod of the local node)")
	s.Uint64Var(&f.o.Seed, "seed", 1, "seed of the draws")
	s.StringArrayVar(&f.backends, "backend", nil, "a process of yours behind a Service's endpoints: NS/SVC[:PORT]=tcp://127.0.0.1:9001 (repeatable)")
	s.StringVar(&f.socks, "socks", "127.0.0.1:0", "where the SOCKS5 proxy listens; port 0 is a free one, \"\" is nowhere")
	s.StringVar(&f.http, "http", "127.0.0.1:0", "where the HTTP proxy listens")
	s.BoolVar(&f.listen, "listen", false, "let the proxies listen at other than loopback addresses: whoever reaches them uses them")
	s.StringVar(&f.socket, "socket", "", "socket for svclab ctl (default: one in the user's runtime folder)")
	s.BoolVar(&f.o.AllNodes, "all-nodes", false, "model every Node of the objects, not the local one alone")
	s.IntVar(&f.o.MTU, "mtu", 0, fmt.Sprintf("of every emulated link, in bytes (default %d: no wire limits it)", emulator.DefaultMTU))
	s.StringVar(&f.capture, "capture", "", "write what passes the nodes to this pcapng, a packet at every hook, as it happens")
	s.Int64Var(&f.captured.packets, "capture-limit", 100000, "packets that the capture holds")
	s.StringSliceVar(&f.captured.points, "capture-at", nil, "points that it holds: hooks, interfaces, socket; PREROUTING,eth0 (default: all that are passed)")
	s.BoolVar(&f.shell, "shell", false, "run a shell, or the command after --, as a Pod of the cluster; ends with it, and with its exit code")
	return c
}

// up runs the emulator until the context or the shell ends, or svclab ctl asks for the end.
func (a *app) up(ctx context.Context, f *upFlags, command []string) error {
	if f.o.MTU != 0 && (f.o.MTU < 1280 || f.o.MTU > emulator.DefaultMTU) {
		return fmt.Errorf("--mtu: %d is not between 1280 and %d", f.o.MTU, emulator.DefaultMTU)
	}
	for _, t := range f.backends {
		b, err := emulator.ParseBackend(t)
		if err != nil {
			return err
		}
		f.o.Backends = append(f.o.Backends, b)
	}
	subject, err := a.upSubject(&f.subject)
	if err != nil {
		return err
	}
	f.o.Note = func(text string) { a.warn([]string{text}) }
	from := f.o.From
	if f.shell {
		f.o.From = ""
	}
	if f.capture != "" {
		end, err := a.liveCapture(f)
		if err != nil {
			return err
		}
		defer end() // after the emulator has ended
	}
	e, err := emulator.New(subject, f.o)
	if err != nil {
		return err
	}
	defer e.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	opened, err := a.openDoors(e, f)
	if err != nil {
		return err
	}
	socket, err := socketPath(f.socket, a.env)
	if err != nil {
		return err
	}
	opened.Control = socket
	control := func() error {
		l, err := listenUnix(socket)
		if err != nil {
			return err
		}
		return e.ServeControl(l, func() { cancel(errStopped) })
	}
	if f.shell {
		return a.shell(ctx, e, shellRequest{command: command, from: from, socket: socket, ready: control, opened: opened, tell: func() { a.tellDoors(e, opened) }})
	}
	if err := control(); err != nil {
		return err
	}
	if err := opened.write(a.out); err != nil {
		return err
	}
	a.tellDoors(e, opened)
	<-ctx.Done()
	if context.Cause(ctx) == errStopped {
		return nil
	}
	return exit(exitInterrupted)
}

// liveCapture begins a capture that can be read while it grows. The function returned ends it.
func (a *app) liveCapture(f *upFlags) (end func(), err error) {
	if f.captured.packets < 0 {
		return nil, fmt.Errorf("--capture-limit: %d is negative", f.captured.packets)
	}
	file, err := os.Create(f.capture)
	if err != nil {
		return nil, fmt.Errorf("--capture: %w", err)
	}
	w := bufio.NewWriterSize(file, 64<<10)
	c, err := run.NewCapture(w, run.CaptureOptions{About: "svclab up", Packets: f.captured.packets, Points: f.captured.points})
	if err != nil {
		file.Close()
		return nil, err
	}
	f.o.Capture, f.o.Tick = c, func() { _ = w.Flush() } // the last one tells what failed
	return func() {
		a.warn(c.Warnings())
		if err := errors.Join(c.Err(), w.Flush(), file.Close()); err != nil {
			a.warn([]string{"warning: --capture: " + err.Error()})
		}
	}, nil
}

// errStopped says that svclab ctl asked for the end.
var errStopped = errors.New("stopped by svclab ctl")

// upSubject loads manifests, or the node of one scenario.
func (a *app) upSubject(f *subjectFlags) (*run.Subject, error) {
	o, err := f.options()
	if err != nil {
		return nil, err
	}
	sources, err := a.read(f.files)
	if err != nil {
		return nil, err
	}
	var s *run.Subject
	if len(sources) == 1 && isScenario(sources[0].Data) {
		sc, err := scenario.Read(sources[0].Name, sources[0].Data)
		if err != nil {
			return nil, err
		}
		if s, err = run.OfScenario(sc, os.DirFS(filepath.Dir(sources[0].Name)), o); err != nil {
			return nil, err
		}
	} else if s, err = run.Load(sources, o); err != nil {
		return nil, err
	}
	a.warn(s.Warnings)
	return s, nil
}

var scenarioHead = regexp.MustCompile(`(?m)^apiVersion:\s*"?svclab/[\s\S]*^kind:\s*"?Scenario|^kind:\s*"?Scenario"?\s*$[\s\S]*^apiVersion:\s*"?svclab/`)

// isScenario tells a scenario from manifests.
func isScenario(text []byte) bool { return scenarioHead.Match(text) }

// doors is where the doors are, as the first line says it.
type doors struct {
	SchemaVersion string   `json:"schemaVersion"`
	Kind          string   `json:"kind"` // "Emulator"
	Socks         string   `json:"socks,omitempty"`
	HTTP          string   `json:"http,omitempty"`
	Control       string   `json:"control"`
	From          []string `json:"from"`
}

func (d doors) write(w io.Writer) error { return report.WriteJSON(w, d, true) }

// openDoors opens the proxies.
func (a *app) openDoors(e *emulator.Emulator, f *upFlags) (doors, error) {
	d := doors{SchemaVersion: report.SchemaVersion, Kind: "Emulator", From: e.Status().From}
	for _, x := range []struct {
		flag, at string
		serve    func(net.Listener) error
		said     *string
	}{{"--socks", f.socks, e.ServeSOCKS, &d.Socks}, {"--http", f.http, e.ServeHTTP, &d.HTTP}} {
		if x.at == "" {
			continue
		}
		l, err := emulator.Listen(x.flag, x.at, f.listen)
		if err != nil {
			return d, err
		}
		*x.said = l.Addr().String()
		if ap, err := netip.ParseAddrPort(*x.said); err == nil && !ap.Addr().IsLoopback() {
			a.warn([]string{"warning: " + x.flag + " listens at " + *x.said + ": whoever reaches it uses the emulator"})
		}
		if err := x.serve(l); err != nil {
			return d, err
		}
	}
	return d, nil
}

// tellDoors tells a person how to come in.
func (a *app) tellDoors(e *emulator.Emulator, d doors) {
	s := e.Status()
	fmt.Fprintf(a.err, "node %s, mode %s: %d Services, %d endpoints\n", s.Node, s.Mode, s.Services, s.Endpoints)
	if d.Socks != "" || d.HTTP != "" {
		fmt.Fprintf(a.err, "clients of the proxies are %s, %s\n", s.Client, strings.Join(s.From, ", "))
	}
	if d.Socks != "" {
		fmt.Fprintf(a.err, "  curl -x socks5h://%s http://%s/\n", d.Socks, e.Example())
	}
	if d.HTTP != "" {
		fmt.Fprintf(a.err, "  curl -x http://%s http://%s/\n", d.HTTP, e.Example())
	}
	fmt.Fprintln(a.err, "  svclab ctl status | shares | follow | rules | mode ipvs | stop")
}
