package box

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Namespace is a network namespace of the box. A file descriptor of the child holds it; it has no name. Sockets stay in the
// namespace they were made in, whoever uses them afterwards.
type Namespace struct {
	Name  string // for messages
	in    *Inside
	fd    netns.NsHandle
	links *netlink.Handle
	veths int // pairs that begin here
}

// NewNamespace makes a network namespace. The one that the box starts with is of no use to iptables-legacy-save without
// privilege: it is older than the box's user mapping, so its /proc/net/ip_tables_names belongs to nobody inside
// (net/netfilter/x_tables.c, xt_proto_init).
func (in *Inside) NewNamespace(name string) (*Namespace, error) {
	return in.hold(name, func() error { return unix.Unshare(unix.CLONE_NEWNET) })
}

// Close lets go of the namespace: the kernel takes it down when nothing else holds it, neither a socket nor a thread in it.
func (n *Namespace) Close() error {
	if n == nil {
		return nil
	}
	n.links.Close()
	return n.fd.Close()
}

func (in *Inside) hold(name string, enter func() error) (*Namespace, error) {
	n := &Namespace{Name: name, in: in, fd: netns.None()}
	err := onThread(func() (err error) {
		if err := enter(); err != nil {
			return fmt.Errorf("making network namespace %s: %w", name, err)
		}
		if err := in.guard("a network namespace"); err != nil {
			return err
		}
		n.fd, err = netns.GetFromPath("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		return nil, err
	}
	err = n.Do(func() (err error) {
		if err := in.guard("netlink"); err != nil {
			return err
		}
		n.links, err = netlink.NewHandle(unix.NETLINK_ROUTE, unix.NETLINK_NETFILTER)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("netlink in %s: %w", name, err)
	}
	return n, nil
}

// onThread runs f on a thread that ends with it, so that whatever f did to the thread is nobody else's.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		done <- f()
	}()
	return <-done
}

// Do runs f on a thread inside the namespace. Sockets and processes that f makes are there.
func (n *Namespace) Do(f func() error) error {
	return onThread(func() error {
		if err := netns.Set(n.fd); err != nil {
			return fmt.Errorf("entering network namespace %s: %w", n.Name, err)
		}
		if err := n.in.guard("sockets in " + n.Name); err != nil {
			return err
		}
		return f()
	})
}

// Setting is a kernel parameter in dotted form with its value. A dot within a name is written as a slash.
type Setting struct {
	Key, Value string
	Optional   bool // it is no error when it cannot be set
}

// SetSysctls sets kernel parameters as this namespace sees them.
func (n *Namespace) SetSysctls(list ...Setting) error {
	return n.Do(func() error {
		for _, s := range list {
			if err := writeFile(sysctlPath(s.Key), s.Value); err != nil && !s.Optional {
				return fmt.Errorf("sysctl %s=%s in %s: %w", s.Key, s.Value, n.Name, err)
			}
		}
		return nil
	})
}

// SetSysctl sets one kernel parameter.
func (n *Namespace) SetSysctl(key, value string) error {
	return n.SetSysctls(Setting{Key: key, Value: value})
}

// writeFile writes a file of the kernel's without asking whether it can be polled, as os.WriteFile does.
func writeFile(path, text string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_TRUNC|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(text))
	return err
}

// Sysctl reads a kernel parameter as this namespace sees it.
func (n *Namespace) Sysctl(key string) (string, error) {
	var v string
	err := n.Do(func() error {
		b, err := os.ReadFile(sysctlPath(key))
		v = strings.TrimSpace(string(b))
		return err
	})
	return v, err
}

func sysctlPath(key string) string {
	swap := strings.NewReplacer(".", "/", "/", ".")
	return "/proc/sys/" + swap.Replace(key)
}

// Netstat reads one counter of /proc/net/snmp of the namespace, such as "Tcp", "RetransSegs".
func (n *Namespace) Netstat(proto, field string) (int64, error) {
	var v int64
	err := n.Do(func() (err error) {
		v, err = snmpField("/proc/thread-self/net/snmp", proto, field)
		return err
	})
	return v, err
}

func snmpField(path, proto, field string) (int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	var names []string
	for _, l := range strings.Split(string(b), "\n") {
		f := strings.Fields(l)
		if len(f) == 0 || f[0] != proto+":" {
			continue
		}
		if names == nil {
			names = f
			continue
		}
		for i := range min(len(f), len(names)) {
			if names[i] == field {
				var v int64
				_, err := fmt.Sscan(f[i], &v)
				return v, err
			}
		}
	}
	return 0, fmt.Errorf("%s has no %s %s", path, proto, field)
}

// familyOf is the address family of an address as system calls know it.
func familyOf(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
