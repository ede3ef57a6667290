package box

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Command is a program to run inside a namespace of the box.
type Command struct {
	Argv    []string
	Stdin   string
	Timeout time.Duration // 0 means a minute
}

// maxOutput bounds what is kept of a program's standard output: a dump of a node with 10,000 Services is some 20 MB.
const maxOutput = 256 << 20

// waitDelay is how long the output of a program that has ended is waited for: long, for a machine that has other things to do.
const waitDelay = 10 * time.Second

// packages says which Debian package brings a program.
var packages = map[string]string{
	"iptables": "iptables", "ip6tables": "iptables", "ipset": "ipset", "nft": "nftables", "conntrack": "conntrack",
	"ipvsadm": "ipvsadm", "ip": "iproute2", "sysctl": "procps", "linux.uml": "user-mode-linux", "modprobe": "kmod",
}

// toolMissing is the error for a program that is not installed.
func toolMissing(tool string, err error) *MissingError {
	e := &MissingError{What: tool, Reason: NoTool, Err: err}
	base, _, _ := strings.Cut(tool, "-")
	if p := packages[base]; p != "" {
		e.Mend = "sudo apt-get install -y " + p
	} else if p := packages[tool]; p != "" {
		e.Mend = "sudo apt-get install -y " + p
	}
	return e
}

// Tool finds a program of the box's search path. An error is a MissingError with the package to install.
func Tool(name string) (string, error) {
	p, err := exec.LookPath(name)
	if err != nil {
		return "", toolMissing(name, err)
	}
	return p, nil
}

// Run runs a program in the namespace and returns its standard output. An error is a MissingError (the program, a kernel
// feature or disk space is missing), a CommandError, or the context's.
func (n *Namespace) Run(ctx context.Context, c Command) (string, error) {
	path, err := exec.LookPath(c.Argv[0])
	if err != nil {
		return "", toolMissing(c.Argv[0], err)
	}
	if c.Timeout == 0 {
		c.Timeout = time.Minute
	}
	tctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	var stdout bytes.Buffer
	stderr := &tail{max: stderrBytes}
	err = n.Do(func() error {
		if err := n.in.guard(c.Argv[0]); err != nil {
			return err
		}
		cmd := exec.CommandContext(tctx, path, c.Argv[1:]...)
		cmd.Args[0] = c.Argv[0]
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(c.Stdin), &limited{b: &stdout, max: maxOutput}, stderr
		cmd.WaitDelay = waitDelay
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
		return cmd.Run()
	})
	if err == nil {
		return stdout.String(), nil
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	return stdout.String(), commandError(c.Argv, err, stderr.String(), tctx.Err() != nil)
}

func commandError(argv []string, err error, output string, timedOut bool) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) && !timedOut {
		return err
	}
	e := &CommandError{Command: strings.Join(argv, " "), Exit: -1, TimedOut: timedOut, Output: output}
	if exit != nil {
		e.Exit = exit.ExitCode()
	}
	switch {
	case strings.Contains(output, "No space left on device"):
		return &MissingError{What: argv[0], Reason: DiskFull, Err: e, Mend: "df -h /tmp /run"}
	case strings.Contains(output, "Table does not exist"), strings.Contains(output, "can't initialize ip"):
		mend := "sudo modprobe -a iptable_nat iptable_filter iptable_mangle ip6table_nat ip6table_filter ip6table_mangle"
		return &MissingError{What: argv[0], Reason: NoKernelFeature, Err: e, Mend: mend}
	case strings.Contains(output, "Kernel error received: Invalid argument"), strings.Contains(output, "Kernel support protocol versions"):
		return &MissingError{What: argv[0], Reason: NoKernelFeature, Err: e, Mend: "sudo modprobe -a ip_set xt_set"}
	}
	return e
}

// limited keeps the first max bytes and fails a writer that goes on.
type limited struct {
	b   *bytes.Buffer
	max int
}

func (l *limited) Write(p []byte) (int, error) {
	if l.b.Len()+len(p) > l.max {
		return 0, errors.New("too much output")
	}
	return l.b.Write(p)
}
