package emulator_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/sim/box"
	"github.com/svclab/svclab/sim/emulator"
)

// needKernel skips a test that was not asked for.
func needKernel(t testing.TB) {
	t.Helper()
	if os.Getenv("SVCLAB_KERNEL_TESTS") == "" {
		t.Skip("tests with namespaces run with SVCLAB_KERNEL_TESTS=1: make kernel-test")
	}
}

// tool skips a test whose program is not installed.
func tool(t testing.TB, name string) {
	t.Helper()
	if _, err := box.Tool(name); err != nil {
		t.Skipf("%s is missing: %v", name, err)
	}
}

// output is a file that a program writes to, for a test to read.
type output struct {
	r, w *os.File
	done chan struct{}
	b    bytes.Buffer
}

func newOutput(t testing.TB) *output {
	t.Helper()
	o := &output{done: make(chan struct{})}
	var err error
	if o.r, o.w, err = os.Pipe(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(o.done)
		io.Copy(&o.b, o.r)
	}()
	return o
}

func (o *output) String() string {
	o.w.Close()
	<-o.done
	o.r.Close()
	return o.b.String()
}

// inShell runs a command as a Pod and returns its exit status and what it wrote.
func inShell(t testing.TB, e *emulator.Emulator, argv ...string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out := newOutput(t)
	code, err := e.Shell(ctx, emulator.Shell{Argv: argv, Dir: "/", Env: os.Environ(), Stdio: [3]*os.File{nil, out.w, out.w}})
	text := out.String()
	if m, ok := box.Missing(err); ok {
		t.Skipf("%s: %s; to mend it: %s", m.What, m.Reason, m.Mend)
	}
	if err != nil {
		t.Fatalf("%q: %v\n%s", argv, err, text)
	}
	return code, text
}

// TestKernelShell: a shell is a Pod: its names, its addresses, its exit code; what is out of bounds is told at once.
func TestKernelShell(t *testing.T) {
	needKernel(t)
	tool(t, "curl")
	e := start(t, emulator.Options{})
	for _, c := range []struct {
		script string
		code   int
		want   string
	}{
		{"exit 7", 7, ""},
		{"kill -9 $$", 137, ""},
		{"cat /etc/resolv.conf", 0, "search default.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n"},
		{"curl -sS -m 10 10.96.0.80", 0, "Pod shop/web-"},
		{"curl -sS -m 10 -4 http://web.shop/", 0, "client 10.244.1."},
		{"curl -sS -m 10 -6 http://web.shop/", 0, "client [fd00:10:244:1:"},
		{"curl -sS -m 10 192.168.8.11:30080", 0, "client 192.168.8.11:"},
		{"curl -sS -m 10 1.1.1.1", 7, "1.1.1.1"},
		{"curl -sS -m 10 http://[2606:4700::1111]/", 7, "2606:4700::1111"},
		{"curl -sS -m 10 10.96.0.81", 7, "10.96.0.81"}, // no endpoints
		{"curl -sS -m 10 http://example.com/", 6, "example.com"},
		{"ls /proc | grep -c '^[0-9]*$'", 0, ""},
	} {
		begin := time.Now()
		code, text := inShell(t, e, "/bin/sh", "-c", c.script)
		if code != c.code || !strings.Contains(text, c.want) {
			t.Errorf("%s: exit %d, want %d:\n%s", c.script, code, c.code, text)
		}
		if d := time.Since(begin); d > 8*time.Second {
			t.Errorf("%s took %s", c.script, d)
		}
	}
	ctx := context.Background()
	if _, err := e.Shell(ctx, emulator.Shell{Argv: []string{"no-such-program"}}); err == nil {
		t.Error("a program that does not exist")
	} else if m, ok := box.Missing(err); !ok || m.Reason != box.NoTool {
		t.Errorf("a program that does not exist: %v", err)
	}
	if _, err := e.Shell(ctx, emulator.Shell{Argv: []string{"true"}, From: "192.168.8.11"}); err == nil {
		t.Error("a shell as the node itself")
	}
}

// What the test's program is told by its environment: it is a client of the address that follows, and does one thing for each byte of
// standard input: it pulls a helping over one connection, or makes a connection and exchanges a byte. It writes how long each took.
const (
	pullVariable    = "EMULATOR_TEST_PULL"
	connectVariable = "EMULATOR_TEST_CONNECT"
)

func init() {
	if to := os.Getenv(pullVariable); to != "" {
		c, err := net.Dial("tcp", to)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		buf := make([]byte, 256<<10)
		serveInput(func() error { return take(c, buf) })
	}
	if to := os.Getenv(connectVariable); to != "" {
		serveInput(func() error {
			c, err := net.Dial("tcp", to)
			if err != nil {
				return err
			}
			defer c.Close()
			one := []byte{1}
			if _, err := c.Write(one); err != nil {
				return err
			}
			_, err = io.ReadFull(c, one)
			return err
		})
	}
}

func serveInput(do func() error) {
	in := bufio.NewReader(os.Stdin)
	for {
		if _, err := in.ReadByte(); err != nil {
			os.Exit(0)
		}
		begin := time.Now()
		if err := do(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(time.Since(begin).Nanoseconds())
	}
}

// tool of a benchmark: one client of the address outside, and one of another in a shell, each of which does its thing once when asked.
func clients(b *testing.B, e *emulator.Emulator, variable, plain, inside string) (outside, shell func() time.Duration) {
	b.Helper()
	one := func(w io.Writer, r *bufio.Reader) func() time.Duration {
		return func() time.Duration {
			if _, err := w.Write([]byte{1}); err != nil {
				b.Fatal(err)
			}
			line, err := r.ReadString('\n')
			var ns int64
			if _, e := fmt.Sscan(line, &ns); e != nil {
				b.Fatal(err, line)
			}
			return time.Duration(ns)
		}
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), variable+"="+plain)
	toPlain, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	fromPlain, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	in, toShell, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	fromShell, out, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		defer out.Close()
		defer in.Close()
		_, err := e.Shell(context.Background(), emulator.Shell{
			Argv: []string{os.Args[0]}, Dir: "/", Env: append(os.Environ(), variable+"="+inside), Stdio: [3]*os.File{in, out, os.Stderr},
		})
		ended <- err
	}()
	b.Cleanup(func() {
		toPlain.Close()
		toShell.Close()
		cmd.Wait()
		if err := <-ended; err != nil {
			b.Error(err)
		}
		fromShell.Close()
	})
	return one(toPlain, bufio.NewReader(fromPlain)), one(toShell, bufio.NewReader(fromShell))
}

// byTurns runs two things by turns and returns their medians.
func byTurns(b *testing.B, p, q func() time.Duration) (time.Duration, time.Duration) {
	b.Helper()
	p()
	q()
	var x, y []time.Duration
	for b.Loop() {
		x, y = append(x, p()), append(y, q())
	}
	slices.Sort(x)
	slices.Sort(y)
	return x[len(x)/2], y[len(y)/2]
}

// BenchmarkKernelBulkTUN copies bytes from a local process to a client, by turns through a plain relay and, in a shell, through the TUN,
// the node and a Pod in front of the process. "share" is the latter's rate over the former's.
func BenchmarkKernelBulkTUN(b *testing.B) {
	needKernel(b)
	src := source(b)
	backend, err := emulator.ParseBackend("shop/web:http=tcp://" + src)
	if err != nil {
		b.Fatal(err)
	}
	e := open(b, emulator.Options{Backends: []emulator.Backend{backend}})
	b.Cleanup(e.Close)
	plain, shell := clients(b, e, pullVariable, plainRelay(b, src), "10.96.0.80:80")
	p, q := byTurns(b, plain, shell)
	b.ReportMetric(bulkBytes/1e6/p.Seconds(), "plain-MB/s")
	b.ReportMetric(bulkBytes/1e6/q.Seconds(), "through-MB/s")
	b.ReportMetric(p.Seconds()/q.Seconds(), "share")
}

// BenchmarkKernelConnectTUN opens a connection and exchanges a byte, by turns through a plain relay and, in a shell, through the TUN.
// "added-µs" is the difference of the medians.
func BenchmarkKernelConnectTUN(b *testing.B) {
	needKernel(b)
	to := echoServer(b)
	backend, err := emulator.ParseBackend("shop/web:http=tcp://" + to)
	if err != nil {
		b.Fatal(err)
	}
	e := open(b, emulator.Options{Backends: []emulator.Backend{backend}})
	b.Cleanup(e.Close)
	plain, shell := clients(b, e, connectVariable, plainRelay(b, to), "10.96.0.80:80")
	p, q := byTurns(b, plain, shell)
	b.ReportMetric(float64(p.Microseconds()), "plain-µs")
	b.ReportMetric(float64(q.Microseconds()), "through-µs")
	b.ReportMetric(float64((q - p).Microseconds()), "added-µs")
}
