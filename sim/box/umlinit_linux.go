package box

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// umlFailed begins a line on the console that says why init gave up.
const umlFailed = "svclab failed: "

// moduleRoot is where modprobe finds the kernel's modules: Debian keeps them outside /lib/modules.
const moduleRoot = "/run/modules"

// umlInit is process 1 of a kernel of its own: it mounts what programs need, loads the modules, and serves a role on the serial
// line. When it ends, so does the kernel.
func umlInit(role string) int {
	console, err := umlMounts()
	if err != nil {
		fmt.Fprintln(os.Stderr, "init:", err)
		return 1
	}
	in, err := umlPrepare()
	if err != nil {
		fmt.Fprintf(console, "%s%s\n", umlFailed, strings.ReplaceAll(err.Error(), "\n", "; "))
		return 1
	}
	r := roles[role]
	if r == nil {
		fmt.Fprintf(console, "%sno role %q\n", umlFailed, role)
		return 1
	}
	handlers, err := r(in)
	if handlers == nil {
		handlers = map[string]Handler{}
	}
	handlers["box.hello"] = func(context.Context, *Request) error { return err }
	if _, err := console.WriteString(umlReady); err != nil {
		return 1
	}
	if err := Serve(console, handlers); err != nil {
		fmt.Fprintln(os.Stderr, "init:", err)
		return 1
	}
	return 0
}

// umlMounts mounts the kernel's own file systems over the box's tree, and opens the serial line.
func umlMounts() (*os.File, error) {
	const quiet = unix.MS_NOSUID | unix.MS_NODEV
	for _, m := range []struct{ kind, dir, data string }{
		{"proc", "/proc", ""}, {"sysfs", "/sys", ""},
		{"tmpfs", "/tmp", "size=64m"}, {"tmpfs", "/run", "size=64m,mode=0755"},
	} {
		if err := unix.Mount(m.kind, m.dir, m.kind, quiet, m.data); err != nil {
			return nil, fmt.Errorf("mounting %s: %w", m.dir, err)
		}
	}
	if err := os.Mkdir("/run/host", 0o755); err != nil {
		return nil, err
	}
	if err := unix.Mount("none", "/run/host", "hostfs", quiet|unix.MS_RDONLY, umlDir); err != nil {
		return nil, fmt.Errorf("mounting %s: %w", umlDir, err)
	}
	console, err := os.OpenFile("/dev/ttyS0", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	return console, raw(int(console.Fd()))
}

// raw keeps a serial line from touching the bytes that pass it.
func raw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return fmt.Errorf("serial line: %w", err)
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}

// How many connections the kernel tracks, and its hash table for them: as many as on a machine of many gigabytes.
const (
	umlConntrack = "262144"
	umlBuckets   = "65536"
)

// umlSchedulers are the IPVS schedulers that Debian builds for User Mode Linux: all but twos.
var umlSchedulers = []string{"rr", "wrr", "lc", "wlc", "fo", "ovf", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq"}

// umlPrepare sets up what the kernel would find on a machine: modules, and the program that loads further ones.
func umlPrepare() (*Inside, error) {
	for k, v := range map[string]string{
		"PATH": toolPath, "LC_ALL": "C", "TZ": "UTC0", "HOME": "/", "XTABLES_LOCKFILE": lockFile,
	} {
		os.Setenv(k, v)
	}
	if err := unix.Sethostname([]byte("svclab")); err != nil {
		return nil, fmt.Errorf("host name: %w", err)
	}
	if err := os.MkdirAll(moduleRoot+"/lib", 0o755); err != nil {
		return nil, err
	}
	if err := os.Symlink(umlModules, moduleRoot+"/lib/modules"); err != nil {
		return nil, err
	}
	load := "/run/modprobe"
	script := "#!/bin/sh\nPATH=" + toolPath + "\nexec modprobe -d " + moduleRoot + " \"$@\"\n"
	if err := os.WriteFile(load, []byte(script), 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile("/proc/sys/kernel/modprobe", []byte(load), 0); err != nil {
		return nil, fmt.Errorf("kernel.modprobe: %w", err)
	}
	modules := []string{"veth", "dummy", "nf_conntrack_netlink", "iptable_nat", "ip6table_nat", "ip_vs"}
	for _, s := range umlSchedulers {
		modules = append(modules, "ip_vs_"+s)
	}
	out, err := exec.Command(load, append([]string{"-a"}, modules...)...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("loading modules: %w: %s", err, strings.TrimSpace(string(out)))
	}
	// What a kernel would take by the memory of a small machine is too little for all the connections of a comparison, which stay for a
	// while; only the first network namespace may set it.
	for _, c := range []struct{ name, value string }{{"nf_conntrack_buckets", umlBuckets}, {"nf_conntrack_max", umlConntrack}} {
		if err := os.WriteFile("/proc/sys/net/netfilter/"+c.name, []byte(c.value), 0); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	inode, err := netInode("/proc/self/ns/net")
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(umlInbox); err != nil {
		return nil, errors.Join(errors.New("the box's folder is not there"), err)
	}
	return &Inside{parentNet: inode, UML: true}, nil
}
