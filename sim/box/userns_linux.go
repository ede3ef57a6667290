package box

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const appArmorMend = "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"

// Privileged reports whether this process may make namespaces without a user namespace of its own: it has CAP_SYS_ADMIN and
// CAP_NET_ADMIN.
func Privileged() bool {
	const admin, netAdmin = 1 << unix.CAP_SYS_ADMIN, 1 << unix.CAP_NET_ADMIN
	caps, err := strconv.ParseUint(statusField("CapEff"), 16, 64)
	return err == nil && caps&admin != 0 && caps&netAdmin != 0
}

// userNamespaceError finds out why a child with a user namespace could not be started: clone(2) answers ENOSPC at the limit
// user.max_user_namespaces, EPERM under a distribution's switch, a security module or a seccomp filter.
func userNamespaceError(err error) error {
	e := &MissingError{What: "rootless", Reason: NamespaceRefused, Err: err}
	switch {
	case errors.Is(err, unix.ENOSPC):
		e.Reason, e.Mend = UserNSExhausted, "sudo sysctl -w user.max_user_namespaces=15000"
		if readNumber("/proc/sys/user/max_user_namespaces") == 0 {
			e.Reason = UserNSDisabled
		}
	case errors.Is(err, unix.EINVAL):
		e.Reason, e.Mend = NoKernelFeature, "boot a kernel built with CONFIG_USER_NS"
	case !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.ENOSYS):
	case readNumber("/proc/sys/kernel/unprivileged_userns_clone") == 0:
		e.Reason, e.Mend = UserNSDisabled, "sudo sysctl -w kernel.unprivileged_userns_clone=1"
	case appArmorRestricts():
		e.Reason, e.Mend = AppArmorForbids, appArmorMend
	case statusField("Seccomp") == "2":
		e.Reason, e.Mend = SeccompForbids, "docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined"
	}
	return e
}

func appArmorRestricts() bool {
	return readNumber("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1
}

// readNumber reads a sysctl; -1 when there is none.
func readNumber(path string) int {
	b, err := os.ReadFile(path)
	if err != nil {
		return -1
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return -1
	}
	return n
}

func statusField(name string) string {
	b, _ := os.ReadFile("/proc/self/status")
	for _, l := range strings.Split(string(b), "\n") {
		if v, ok := strings.CutPrefix(l, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// KernelRelease is what uname -r prints.
func KernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}
