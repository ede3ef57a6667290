package box

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"golang.org/x/sys/unix"
)

// ShowHost takes the box's own /run and /tmp away, so that the caller's are seen again. Until then they are empty.
func (in *Inside) ShowHost() error {
	for _, dir := range []string{"/run", "/tmp"} {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmounting %s: %w", dir, err)
		}
	}
	return nil
}

// hostsLine is where nsswitch.conf(5) says how names are resolved.
var hostsLine = regexp.MustCompile(`(?m)^hosts:.*$`)

// Resolver makes a text the box's /etc/resolv.conf, and lets programs ask nobody but the name servers in it: nsswitch.conf names no
// daemon of the host, and that of nscd(8) is out of sight. Nothing is written to the host's files.
func (in *Inside) Resolver(conf string) error {
	files := map[string]string{"/etc/resolv.conf": conf}
	if b, err := os.ReadFile("/etc/nsswitch.conf"); err == nil {
		files["/etc/nsswitch.conf"] = hostsLine.ReplaceAllString(string(b), "hosts: files dns")
	}
	const stage = "/tmp" // what is bound from here stays when it is unmounted
	if err := unix.Mount("tmpfs", stage, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=1m,mode=0755"); err != nil {
		return fmt.Errorf("tmpfs on %s: %w", stage, err)
	}
	defer unix.Unmount(stage, unix.MNT_DETACH)
	for _, target := range []string{"/etc/resolv.conf", "/etc/nsswitch.conf"} {
		text, ok := files[target]
		if !ok {
			continue
		}
		source := filepath.Join(stage, filepath.Base(target))
		if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
			return err
		}
		if err := bind(source, target); err != nil {
			return err
		}
	}
	if _, err := os.Stat("/run/nscd"); err == nil {
		if err := unix.Mount("tmpfs", "/run/nscd", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=1m"); err != nil {
			return fmt.Errorf("tmpfs on /run/nscd: %w", err)
		}
	}
	return nil
}

// bind puts a file in the place of another, or of what a symbolic link leads to.
func bind(source, target string) error {
	at, err := filepath.EvalSymlinks(target)
	if err != nil {
		return fmt.Errorf("%s: %w", target, err)
	}
	if err := unix.Mount(source, at, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("binding a file to %s: %w", target, err)
	}
	return nil
}
