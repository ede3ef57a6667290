package emulator_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/svclab/svclab/sim/box"
	"github.com/svclab/svclab/sim/emulator"
	"github.com/svclab/svclab/sim/input"
	"github.com/svclab/svclab/sim/run"
)

var (
	kills    = flag.Int("kills", 20, "emulators with a shell to kill for each user")
	killSeed = flag.Uint64("kill-seed", 1, "seed of the moments at which they are killed")
)

// A decoy is a box that stands for the machine: every process in it is known, so that whatever is left over shows.

const (
	decoyRole      = "emulator.decoy"
	victimVariable = "EMULATOR_TEST_VICTIM" // it brings up an emulator with a shell; the value is the path of its control socket
)

func init() {
	box.Register(decoyRole, newDecoy)
	if socket := os.Getenv(victimVariable); socket != "" {
		box.Init()
		victim(socket)
	}
}

// victim has a shell in which traffic flows, says "ready" when it begins, and waits to be killed. Where it cannot, it says why.
func victim(socket string) {
	s, err := run.Load([]input.Source{{Name: "world", Data: []byte(world)}}, run.Options{})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	e, err := emulator.New(s, emulator.Options{})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	_, err = e.Shell(context.Background(), emulator.Shell{
		Argv: []string{"/bin/sh", "-c", "sleep 1000 & setsid sleep 1000 & while :; do curl -s -o /dev/null -m 5 10.96.0.80; [ -z $said ] && echo ready; said=1; done"},
		Dir:  "/", Env: os.Environ(), Stdio: [3]*os.File{nil, os.Stdout, os.Stderr}, Remove: socket,
		Ready: func([]netip.Addr) error {
			l, err := net.Listen("unix", socket)
			if err != nil {
				return err
			}
			return e.ServeControl(l, func() {})
		},
	})
	if m, ok := box.Missing(err); ok {
		fmt.Printf("%s: %s: %s\n", m.What, m.Reason, m.Mend)
	} else {
		fmt.Println("untyped:", err)
	}
	os.Exit(1)
}

type killRequest struct {
	UID    int
	Kills  int
	Seed   uint64
	Latest time.Duration // the moments are uniform up to this
}

type killAnswer struct {
	Left    []string
	Slowest time.Duration // from a kill until the last process was gone
	Ready   int           // killed amid traffic
}

type spoilRequest struct {
	Spoil string
	UID   int
}

func newDecoy(*box.Inside) (map[string]box.Handler, error) {
	return map[string]box.Handler{
		"kill": func(_ context.Context, r *box.Request) error {
			var q killRequest
			if err := r.Decode(&q); err != nil {
				return err
			}
			a, err := killAll(q)
			if err != nil {
				return err
			}
			return r.Answer(a)
		},
		"spoil": func(_ context.Context, r *box.Request) error {
			var q spoilRequest
			if err := r.Decode(&q); err != nil {
				return err
			}
			said, err := spoil(q)
			if err != nil {
				return err
			}
			return r.Answer(said)
		},
	}, nil
}

func victimCommand(uid int, socket string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Dir, cmd.Env = "/", []string{"PATH=" + os.Getenv("PATH"), victimVariable + "=" + socket}
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	return cmd
}

// snapshot is what a victim could leave beside processes: mounts and files.
func snapshot() string {
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	text := string(mounts)
	for _, dir := range []string{"/run", "/tmp"} {
		filepath.WalkDir(dir, func(path string, _ os.DirEntry, _ error) error {
			text += path + "\n"
			return nil
		})
	}
	return text
}

// beyond are the lines of one text that another has not.
func beyond(before, now string) string {
	out := ""
	for line := range strings.Lines(now) {
		if !strings.Contains(before, line) {
			out += "\n" + line
		}
	}
	return out
}

func killAll(q killRequest) (a killAnswer, err error) {
	dir := fmt.Sprintf("/tmp/svclab-%d", q.UID)
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.Chown(dir, q.UID, q.UID)); err != nil {
		return a, err
	}
	before := snapshot()
	chance := rand.New(rand.NewPCG(q.Seed, 0))
	for i := range q.Kills {
		moment := time.Duration(chance.Int64N(int64(q.Latest)))
		r, w, err := os.Pipe()
		if err != nil {
			return a, err
		}
		cmd := victimCommand(q.UID, filepath.Join(dir, fmt.Sprintf("up-%d.sock", i)))
		cmd.Stdout = w
		err = cmd.Start()
		w.Close()
		if err != nil {
			return a, err
		}
		time.Sleep(moment)
		if err := cmd.Process.Kill(); err != nil {
			return a, fmt.Errorf("the victim ended by itself: %w", err)
		}
		cmd.Wait()
		killed := time.Now()
		left := processes()
		for (len(left) > 0 || snapshot() != before) && time.Since(killed) < time.Second {
			time.Sleep(2 * time.Millisecond)
			left = processes()
		}
		a.Slowest = max(a.Slowest, time.Since(killed))
		for _, p := range left {
			a.Left = append(a.Left, fmt.Sprintf("killed after %s: %s", moment, p))
		}
		if now := snapshot(); now != before {
			a.Left = append(a.Left, fmt.Sprintf("killed after %s: mounts and files:%s", moment, beyond(before, now)))
			before = now
		}
		said := make([]byte, 256)
		r.SetReadDeadline(time.Now().Add(time.Second))
		n, _ := r.Read(said)
		r.Close()
		switch s := string(said[:n]); {
		case strings.HasPrefix(s, "ready\n"):
			a.Ready++
		case s != "":
			return a, fmt.Errorf("the victim said %q", s)
		}
	}
	return a, nil
}

// processes lists what lives in the pid namespace beside its first process, whose orphans it buries.
func processes() (left []string) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			continue
		}
		if _, rest, _ := strings.Cut(string(stat), ") "); strings.HasPrefix(rest, "Z") {
			if got, _ := syscall.Wait4(pid, nil, syscall.WNOHANG, nil); got == pid {
				continue
			}
		}
		left = append(left, strings.TrimSpace(string(stat)))
	}
	return left
}

// spoil takes one thing away from the decoy, for good, and says what bringing up a shell then prints first.
func spoil(q spoilRequest) (string, error) {
	var err error
	switch q.Spoil {
	case "no user namespaces":
		err = os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0)
	case "no /dev/net/tun":
		err = syscall.Mount("tmpfs", "/dev/net", "tmpfs", 0, "size=1m")
	case "masked /proc":
		err = syscall.Mount("tmpfs", "/proc/sys", "tmpfs", 0, "size=1m")
	}
	if err != nil {
		return "", err
	}
	if err := os.Chmod("/tmp", 0o777); err != nil {
		return "", err
	}
	cmd := victimCommand(q.UID, "/tmp/up.sock")
	r, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	said := make([]byte, 1024)
	n, err := r.Read(said)
	return string(said[:n]), err
}

func startDecoy(t *testing.T, user box.UserNamespace) (*box.Box, context.Context) {
	t.Helper()
	needKernel(t)
	tool(t, "curl")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	b, err := box.Start(ctx, box.Config{Role: decoyRole, User: user})
	if m, ok := box.Missing(err); ok {
		t.Skipf("%s: %s; to mend it: %s", m.What, m.Reason, m.Mend)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b, ctx
}

const nobody = 65534

// TestKernelKill kills emulators with a shell by SIGKILL at random moments, from before the shell exists until traffic flows. A second
// later there must be no process, mount or file of theirs, the control socket included.
func TestKernelKill(t *testing.T) {
	for _, uid := range []int{0, nobody} {
		t.Run(fmt.Sprintf("uid %d", uid), func(t *testing.T) {
			b, ctx := startDecoy(t, box.Auto)
			if uid != 0 && b.User() == box.Own {
				t.Skip("only root can run a parent as another user: this run is unprivileged itself")
			}
			var a killAnswer
			if err := b.Call(ctx, "kill", killRequest{UID: uid, Kills: *kills, Seed: *killSeed, Latest: 900 * time.Millisecond}, &a); err != nil {
				t.Fatal(err)
			}
			if len(a.Left) > 0 {
				t.Errorf("left behind (-kill-seed=%d):\n%s", *killSeed, strings.Join(a.Left, "\n"))
			}
			t.Logf("%d killed with seed %d, %d of them amid traffic; all gone after at most %s", *kills, *killSeed, a.Ready, a.Slowest.Round(time.Millisecond))
		})
	}
}

// TestKernelMissing: where something is missing, the reason is typed and a command mends it.
func TestKernelMissing(t *testing.T) {
	for _, c := range []struct {
		spoil string
		uid   int
		want  string
	}{
		{"nothing", nobody, "ready"},
		{"no /dev/net/tun", nobody, "/dev/net/tun: " + string(box.NoKernelFeature) + ": sudo modprobe tun"},
		{"no user namespaces", 0, "ready"}, // root needs none
		{"masked /proc", nobody, "box: " + string(box.ProcRefused) + ": in a container"},
	} {
		t.Run(c.spoil+"/"+strconv.Itoa(c.uid), func(t *testing.T) {
			user := box.Auto
			if c.uid == 0 {
				user = box.Own // the limit of the user namespace, not of the machine
			}
			b, ctx := startDecoy(t, user)
			if c.uid != 0 && b.User() == box.Own {
				t.Skip("only root can try as another user: this run is unprivileged itself")
			}
			var said string
			if err := b.Call(ctx, "spoil", spoilRequest{Spoil: c.spoil, UID: c.uid}, &said); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(said, c.want) {
				t.Errorf("said %q, want %q", said, c.want)
			}
		})
	}
}
