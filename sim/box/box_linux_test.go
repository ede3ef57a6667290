package box

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func init() { Register("test", newTestRole) }

func TestMain(m *testing.M) {
	Init()
	os.Exit(m.Run())
}

// newTestRole serves what these tests want to know from inside.
func newTestRole(in *Inside) (map[string]Handler, error) {
	return map[string]Handler{
		"namespaces": func(_ context.Context, r *Request) error {
			out := map[string]string{}
			for _, n := range []string{"user", "mnt", "pid", "ipc", "uts", "net"} {
				out[n], _ = os.Readlink("/proc/self/ns/" + n)
			}
			out["id"] = fmt.Sprint(os.Getpid())
			return r.Answer(out)
		},
		"foreign": func(context.Context, *Request) error {
			n, err := in.NewNamespace("node")
			if err != nil {
				return err
			}
			// As if the parent's network namespace were this one.
			err = n.Do(func() (err error) { in.parentNet, err = netInode("/proc/thread-self/ns/net"); return err })
			if err != nil {
				return err
			}
			if _, err := in.NewNamespace("other"); err != nil {
				return fmt.Errorf("a namespace of its own is refused: %w", err)
			}
			_, again := in.hold("again", func() error { return netns.Set(n.fd) })
			_, run := n.Run(context.Background(), Command{Argv: []string{"iptables-legacy-save"}})
			for what, err := range map[string]error{
				"netlink": again, "iptables": run, "sysctl": n.SetSysctl("net.ipv4.ip_forward", "0"),
				"sockets": n.Do(func() error { return nil }), "thread": OnThread(func(t *Thread) error { return t.Enter(n) }),
			} {
				var f *ForeignNamespaceError
				if !errors.As(err, &f) || f.Inode != in.parentNet {
					return fmt.Errorf("%s: %v", what, err)
				}
			}
			return nil
		},
	}, nil
}

func startTest(t *testing.T, u UserNamespace) (*Box, context.Context) {
	t.Helper()
	if os.Getenv("SVCLAB_KERNEL_TESTS") != "1" {
		t.Skip("not asked for: kernel tests run under `make kernel-test` (SVCLAB_KERNEL_TESTS=1)")
	}
	ctx := bounded(t)
	b, err := Start(ctx, Config{Role: "test", User: u})
	if m, ok := Missing(err); ok {
		t.Skipf("%s: %s; to mend it: %s", m.What, m.Reason, m.Mend)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b, ctx
}

// A box is PID 1 of namespaces that are all its own; the user namespace only where that was asked for.
func TestKernelNamespaces(t *testing.T) {
	for _, u := range []UserNamespace{Own, Shared} {
		t.Run(u.String(), func(t *testing.T) {
			b, ctx := startTest(t, u)
			var in map[string]string
			if err := b.Call(ctx, "namespaces", nil, &in); err != nil {
				t.Fatal(err)
			}
			if in["id"] != "1" {
				t.Errorf("process id %s inside", in["id"])
			}
			for _, n := range []string{"user", "mnt", "pid", "ipc", "uts", "net"} {
				ours, err := os.Readlink("/proc/self/ns/" + n)
				if err != nil {
					t.Fatal(err)
				}
				if same := ours == in[n]; same != (n == "user" && u == Shared) {
					t.Errorf("%s: ours %s, the box's %s", n, ours, in[n])
				}
			}
			pid := b.PID()
			b.Close()
			if err := unix.Kill(pid, 0); err != unix.ESRCH {
				t.Errorf("process %d after Close: %v", pid, err)
			}
		})
	}
}

// A box that is closed, or whose context ends, leaves no goroutine and no file descriptor in the parent.
func TestKernelLeaks(t *testing.T) {
	startTest(t, Auto) // skips where there can be none
	files := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	ignore, before := goleak.IgnoreCurrent(), files()
	for range 5 {
		ctx, cancel := context.WithCancel(bounded(t))
		b, err := Start(ctx, Config{Role: "test"})
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		<-b.Died()
		b.Close()
	}
	goleak.VerifyNone(t, ignore, goleak.IgnoreTopFunction("context.WithDeadlineCause.func2"))
	if after := files(); after != before {
		t.Errorf("%d files open, %d before", after, before)
	}
}

// In the parent's network namespace no handle of any kind is opened.
func TestKernelForeignNamespace(t *testing.T) {
	b, ctx := startTest(t, Auto)
	if err := b.Call(ctx, "foreign", nil, nil); err != nil {
		t.Fatal(err)
	}
}

// A parent that dies between clone and handshake: the child finds the end of its lifeline and is gone.
func TestKernelNoHandshake(t *testing.T) {
	startTest(t, Auto) // skips where there can be none
	for _, said := range []string{"", `{"ParentNet":1`} {
		lifeRead, lifeWrite, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		control, other, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		user := Own
		if Privileged() {
			user = Shared
		}
		cmd := command(Config{Role: "test", User: user}, lifeRead, control, &tail{max: stderrBytes})
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lifeRead.Close()
		control.Close()
		lifeWrite.WriteString(said)
		lifeWrite.Close()
		late := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 || !late.Stop() {
			t.Errorf("after %q: %v", said, err)
		}
	}
}

// Without a handshake there is no namespace to compare with: everything is refused.
func TestGuardWithoutHandshake(t *testing.T) {
	var f *ForeignNamespaceError
	if err := (&Inside{}).guard("netlink"); !errors.As(err, &f) || f.Handle != "netlink" {
		t.Errorf("%v", err)
	}
}

// What clone and the tools say, and what that means. The texts are those of iptables 1.8.9 and ipset 7.17.
func TestReasons(t *testing.T) {
	for _, c := range []struct {
		err    error
		reason Reason
	}{
		{unix.EINVAL, NoKernelFeature},
		{unix.EMFILE, NamespaceRefused},
	} {
		if m, ok := Missing(userNamespaceError(c.err)); !ok || m.Reason != c.reason || !errors.Is(m, c.err) {
			t.Errorf("%v: %v", c.err, m)
		}
	}
	argv := []string{"iptables-legacy-restore"}
	killed := &os.PathError{Op: "x", Path: "y", Err: unix.EIO}
	if err := commandError(argv, killed, "", false); err != error(killed) {
		t.Errorf("a failure to run is passed on: %v", err)
	}
	for text, reason := range map[string]Reason{
		"iptables-legacy-restore: line 9 failed: No space left on device":                                                 DiskFull,
		"iptables v1.8.9 (legacy): can't initialize iptables table `nat': Table does not exist (do you need to insmod?)":  NoKernelFeature,
		"ipset v7.17: Cannot open session to kernel.\nKernel error received: Invalid argument while reading the protocol": NoKernelFeature,
	} {
		m, ok := Missing(commandError(argv, exitError(t), text, false))
		if !ok || m.Reason != reason || m.Mend == "" {
			t.Errorf("%s: %v", text, m)
		}
	}
	var ce *CommandError
	if err := commandError(argv, exitError(t), "line 3 failed", false); !errors.As(err, &ce) || !strings.Contains(err.Error(), "line 3 failed") {
		t.Errorf("%v", err)
	}
	if err := toolMissing("ip6tables-nft-save", nil); err.Mend != "sudo apt-get install -y iptables" {
		t.Errorf("%v", err)
	}
}

// exitError is what os/exec says of a program that failed.
func exitError(t *testing.T) error {
	t.Helper()
	err := exec.Command("false").Run()
	if err == nil {
		t.Fatal("false succeeded")
	}
	return err
}

// Sequences of sysctl keys: a dot within a name is written as a slash.
func TestSysctlPath(t *testing.T) {
	if got := sysctlPath("net.ipv4.conf.eth0/100.rp_filter"); got != "/proc/sys/net/ipv4/conf/eth0.100/rp_filter" {
		t.Error(got)
	}
}

func TestIdentity(t *testing.T) {
	a := newAnswering(false, 1)
	a.peer.put(netip.MustParseAddrPort("10.0.0.1:4711"))
	got := string(a.identity(netip.MustParseAddrPort("[fd00::1]:80")))
	if got != "[fd00::1]:80 10.0.0.1:4711\n" {
		t.Errorf("%q", got)
	}
}
