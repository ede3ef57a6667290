package kernel_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/svclab/svclab/sim/box"
)

// A decoy is a box that stands for the machine: it has rules, sets, links and addresses of its own, and a pid namespace in
// which every process is known. Tests run in it, and afterwards nothing of it may have changed and no process be left.

const decoyRole = "decoy"

func init() { box.Register(decoyRole, newDecoy) }

// decoy is a decoy from inside.
type decoy struct{ node *box.Namespace }

// killRequest asks for a number of victims, each killed at a moment of its own.
type killRequest struct {
	Vehicle string
	UID     int
	Kills   int
	Seed    uint64
	Latest  time.Duration // the moments are uniform up to this
}

// killAnswer says what was left. Slowest is how long after a kill the last process was gone.
type killAnswer struct {
	Left    []string
	Slowest time.Duration
	Ready   int // victims that were sending traffic already
}

// spoilRequest asks to start a vehicle, as a user, where one thing is missing.
type spoilRequest struct {
	Spoil   string
	Vehicle string
	UID     int
}

// suiteRequest asks for tests, by a pattern, run from a folder.
type suiteRequest struct{ Run, Dir string }

// suiteAnswer is what they printed, and what of the decoy they changed.
type suiteAnswer struct {
	Output  string
	Failed  bool
	Changed []string
}

func newDecoy(in *box.Inside) (map[string]box.Handler, error) {
	d := &decoy{}
	var err error
	if d.node, err = in.NewNamespace("machine"); err != nil {
		return nil, err
	}
	return map[string]box.Handler{
		"kill": func(ctx context.Context, r *box.Request) error {
			var q killRequest
			if err := r.Decode(&q); err != nil {
				return err
			}
			a, err := d.kill(ctx, q)
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
			if strings.HasPrefix(q.Spoil, "no user namespaces") && !in.OwnUser {
				return errors.New("the limit would be the machine's")
			}
			said, err := spoil(q)
			if err != nil {
				return err
			}
			return r.Answer(said)
		},
		"suite": func(ctx context.Context, r *box.Request) error {
			var q suiteRequest
			if err := r.Decode(&q); err != nil {
				return err
			}
			a, err := d.suite(ctx, q)
			if err != nil {
				return err
			}
			return r.Answer(a)
		},
	}, d.sentinels()
}

// sentinels are what a test that reaches out of its box would disturb: rules with the names that kube-proxy uses, and a rule
// that any packet would be counted by.
func (d *decoy) sentinels() error {
	const rules = "*nat\n:KUBE-SERVICES - [0:0]\n:SENTINEL - [0:0]\n-A PREROUTING -j SENTINEL\n-A OUTPUT -j SENTINEL\n-A KUBE-SERVICES -d 192.0.2.1/32 -j SENTINEL\nCOMMIT\n" +
		"*filter\n:SENTINEL - [0:0]\n-A INPUT -j SENTINEL\n-A FORWARD -j SENTINEL\n-A OUTPUT -j SENTINEL\nCOMMIT\n"
	for _, c := range []box.Command{
		{Argv: []string{"iptables-legacy-restore"}, Stdin: rules},
		{Argv: []string{"iptables-nft-restore"}, Stdin: rules},
		{Argv: []string{"ip6tables-legacy-restore"}, Stdin: strings.ReplaceAll(rules, "192.0.2.1/32", "2001:db8::1/128")},
		{Argv: []string{"ipset", "restore"}, Stdin: "create SENTINEL hash:ip\nadd SENTINEL 192.0.2.1\n"},
		{Argv: []string{"ip", "link", "add", "eth0", "type", "veth", "peer", "name", "pod0"}},
		{Argv: []string{"ip", "address", "add", "192.0.2.1/24", "dev", "eth0"}},
		{Argv: []string{"ip", "link", "set", "eth0", "up"}},
	} {
		if _, err := d.node.Run(context.Background(), c); err != nil {
			return err
		}
	}
	return nil
}

// snapshot is everything that must not change, by name.
func (d *decoy) snapshot(ctx context.Context) (map[string]string, error) {
	s := map[string]string{}
	for _, line := range []string{
		"iptables-legacy-save -c", "ip6tables-legacy-save -c", "iptables-nft-save -c", "nft list ruleset", "ipset save",
		"ip -d address", "ip route show table all", "ip -6 route show table all", "ip rule", "ip neighbour",
	} {
		out, err := d.node.Run(ctx, box.Command{Argv: strings.Fields(line)})
		if err != nil {
			return nil, err
		}
		// Not state: the date of the dump.
		var keep []string
		for _, l := range strings.Split(out, "\n") {
			if !strings.HasPrefix(l, "#") {
				keep = append(keep, l)
			}
		}
		s[line] = strings.Join(keep, "\n")
	}
	for _, key := range []string{"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv4.conf.all.rp_filter", "kernel.hostname"} {
		s[key], _ = d.node.Sysctl(key)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	s["mounts"] = string(mounts)
	modules, _ := filepath.Glob("/sys/module/*")
	s["modules"] = strings.Join(modules, "\n")
	for _, dir := range []string{"/run", "/tmp"} {
		var names []string
		filepath.WalkDir(dir, func(path string, _ os.DirEntry, _ error) error {
			names = append(names, path)
			return nil
		})
		s[dir] = strings.Join(names, "\n")
	}
	return s, nil
}

// changed names what differs between two snapshots.
func changed(a, b map[string]string) []string {
	var out []string
	for k := range a {
		if a[k] != b[k] {
			out = append(out, fmt.Sprintf("%s:\n%s\n--- became ---\n%s", k, a[k], b[k]))
		}
	}
	return out
}

func (d *decoy) kill(ctx context.Context, q killRequest) (killAnswer, error) {
	var a killAnswer
	before, err := d.snapshot(ctx)
	if err != nil {
		return a, err
	}
	chance := rand.New(rand.NewPCG(q.Seed, 0))
	for range q.Kills {
		moment := time.Duration(chance.Int64N(int64(q.Latest)))
		ready, err := d.killOne(q, moment)
		if err != nil {
			return a, err
		}
		if ready {
			a.Ready++
		}
		killed, waited := time.Now(), stalled()
		left := processes()
		for len(left) > 0 {
			took := time.Since(killed)
			if took > 5*time.Second || took-(stalled()-waited) > time.Second {
				break
			}
			time.Sleep(2 * time.Millisecond)
			left = processes()
		}
		a.Slowest = max(a.Slowest, time.Since(killed))
		for _, p := range left {
			a.Left = append(a.Left, fmt.Sprintf("killed after %s: %s", moment, p))
		}
	}
	after, err := d.snapshot(ctx)
	a.Left = append(a.Left, changed(before, after)...)
	return a, err
}

// killOne starts a victim and kills it at a moment after its start. It reports whether its traffic had begun.
func (d *decoy) killOne(q killRequest, moment time.Duration) (ready bool, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return false, err
	}
	defer r.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), victimVariable + "=" + q.Vehicle}
	cmd.Dir, cmd.Stdout = "/", w
	if q.UID != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(q.UID), Gid: uint32(q.UID)}}
	}
	err = d.node.Do(cmd.Start)
	w.Close()
	if err != nil {
		return false, err
	}
	time.Sleep(moment)
	if err := cmd.Process.Kill(); err != nil {
		return false, fmt.Errorf("the victim ended by itself: %w", err)
	}
	cmd.Wait()
	said := make([]byte, 256)
	r.SetReadDeadline(time.Now().Add(time.Second))
	n, _ := r.Read(said)
	if s := string(said[:n]); s != "" && s != "ready\n" {
		return false, fmt.Errorf("the victim said %q", s)
	}
	return n > 0, nil
}

// stalled is for how long some process has waited for a processor since the machine came up: a second in which that happened is none in
// which what was killed could end. 0 where the kernel does not tell.
func stalled() time.Duration {
	text, _ := os.ReadFile("/proc/pressure/cpu")
	_, total, _ := strings.Cut(string(text), "total=")
	var us int64
	fmt.Sscan(total, &us)
	return time.Duration(us) * time.Microsecond
}

// processes lists what lives in the pid namespace beside its first process, whose orphans it buries.
func processes() []string {
	var left []string
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
		_, rest, _ := strings.Cut(string(stat), ") ")
		if strings.HasPrefix(rest, "Z") {
			if got, _ := syscall.Wait4(pid, nil, syscall.WNOHANG, nil); got == pid {
				continue
			}
		}
		threads, _ := filepath.Glob(dir + "/task/*")
		for _, thread := range threads {
			where, _ := os.ReadFile(thread + "/stack")
			stat = append(stat, filepath.Base(thread)+":\n"+string(where)...)
		}
		left = append(left, string(stat))
	}
	return left
}

func (d *decoy) suite(ctx context.Context, q suiteRequest) (suiteAnswer, error) {
	var a suiteAnswer
	dir, err := uncover(q.Dir)
	if err != nil {
		return a, err
	}
	before, err := d.snapshot(ctx)
	if err != nil {
		return a, err
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "-test.run="+q.Run, "-test.v", "-test.timeout=9m")
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/", "SVCLAB_KERNEL_TESTS=1", decoyVariable + "=1"}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = d.node.Do(cmd.Run)
	a.Output, a.Failed = out.String(), err != nil
	after, err := d.snapshot(ctx)
	if err != nil {
		return a, err
	}
	a.Changed = changed(before, after)
	for _, p := range processes() {
		a.Changed = append(a.Changed, "left: "+p)
	}
	return a, nil
}

// uncover makes the checkout of a package's folder visible where the box's own /tmp covers it, under /mnt, and returns the folder.
func uncover(dir string) (string, error) {
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	root := filepath.Dir(filepath.Dir(dir))
	return filepath.Join("/mnt", strings.TrimPrefix(dir, root)), errors.Join(
		syscall.Unmount("/tmp", syscall.MNT_DETACH),
		syscall.Mount(root, "/mnt", "", syscall.MS_BIND, ""),
		syscall.Mount("tmpfs", "/tmp", "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "size=64m,mode=0755"),
	)
}

// spoil takes one thing away from the decoy, for good, and says what starting a vehicle then prints.
func spoil(q spoilRequest) (string, error) {
	var err error
	switch q.Spoil {
	case "no user namespaces", "no user namespaces, no privilege":
		err = os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0)
	case "no tools":
		for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/usr/local/bin"} {
			err = errors.Join(err, syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"))
		}
	case "no uml":
		if _, e := os.Stat("/usr/bin/linux.uml"); e == nil { // otherwise it is not there already
			err = syscall.Mount("/dev/null", "/usr/bin/linux.uml", "", syscall.MS_BIND, "")
		}
	case "tiny /dev/shm":
		err = syscall.Mount("tmpfs", "/dev/shm", "tmpfs", syscall.MS_NOEXEC|syscall.MS_NOSUID, "size=64k")
	case "no modules":
		err = syscall.Mount("tmpfs", "/usr/lib/uml", "tmpfs", 0, "size=1m")
	case "masked /proc":
		// As container engines do: with a part of /proc covered, no new /proc may be mounted in a user namespace.
		err = syscall.Mount("tmpfs", "/proc/sys", "tmpfs", 0, "size=1m")
	}
	if err != nil {
		return "", err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Dir, cmd.Env = "/", []string{"PATH=" + os.Getenv("PATH"), attemptVariable + "=" + q.Vehicle}
	if q.UID != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(q.UID), Gid: uint32(q.UID)}}
	}
	if strings.HasSuffix(q.Spoil, "no privilege") {
		program, err := os.Open("/proc/self/exe")
		if err != nil {
			return "", err
		}
		defer program.Close()
		cmd.Path, cmd.Args, cmd.ExtraFiles = "/usr/bin/setpriv", []string{"setpriv", "--bounding-set=-all", "--inh-caps=-all", "/proc/self/fd/3"}, []*os.File{program}
	}
	out, err := cmd.Output()
	return string(out), err
}
