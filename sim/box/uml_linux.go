package box

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Folders of the box that a kernel of its own needs, all of them in the box's tmpfs.
const (
	umlDir     = "/run/svclab"    // the kernel inside mounts it by hostfs
	umlProgram = umlDir + "/init" // this program
	umlMemory  = "/run/memory"    // what the kernel takes for its physical memory
	umlModules = "/usr/lib/uml/modules"
)

// bootUML starts User Mode Linux as a process of the box and returns handlers that pass every request on to the role inside
// it. Its root is the box's file tree, read-only; its console is a socket that nobody else holds. It is in the box's pid
// namespace, so it ends with the box.
func (in *Inside) bootUML(role string, u UML) (map[string]Handler, error) {
	if u.MemoryMiB <= 0 {
		u.MemoryMiB = defaultUMLMiB
	}
	linux, err := Tool("linux.uml")
	if err != nil {
		return nil, err
	}
	if _, err := Tool("modprobe"); err != nil {
		return nil, err
	}
	release, err := umlRelease(linux)
	if err != nil {
		return nil, err
	}
	if err := umlFolders(u); err != nil {
		return nil, err
	}
	console, err := startUML(linux, role, release, u)
	if err != nil {
		return nil, err
	}
	conn := NewConn(console)
	conn.inbox = filepath.Join(umlDir, "in")
	return map[string]Handler{anyMethod: relay(conn)}, conn.Call(context.Background(), "box.hello", nil, nil)
}

// relay hands a request on as it is, and its answers back.
func relay(c *Conn) Handler {
	return func(ctx context.Context, r *Request) error {
		return c.Stream(ctx, r.method, rawBody(r.body), func(decode func(any) error) error {
			var b rawBody
			if err := decode(&b); err != nil {
				return err
			}
			return r.Answer(b)
		})
	}
}

// umlRelease asks the kernel for its release and looks for its modules.
func umlRelease(linux string) (string, error) {
	out, err := exec.Command(linux, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", linux, err)
	}
	release := strings.TrimSpace(string(out))
	if _, err := os.Stat(filepath.Join(umlModules, release, "modules.dep")); err != nil {
		return "", &MissingError{What: "uml", Reason: NoModules, Err: err, Mend: "sudo apt-get install -y --reinstall user-mode-linux"}
	}
	return release, nil
}

// umlFolders makes the folders of the box. The kernel's memory is a file, mapped for execution: its tmpfs is made for it, so that
// neither the size nor the options of the machine's /dev/shm matter.
func umlFolders(u UML) error {
	for _, dir := range []string{umlMemory, filepath.Join(umlDir, "in")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("tmpfs", umlMemory, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("size=%dm,mode=0700", u.MemoryMiB+64)); err != nil {
		return fmt.Errorf("tmpfs on %s: %w", umlMemory, err)
	}
	if err := umlMemoryFits(umlMemory, u.MemoryMiB); err != nil {
		return err
	}
	// The program may lie where the box's own mounts hide it.
	if err := os.WriteFile(umlProgram, nil, 0o755); err != nil {
		return err
	}
	if unix.Mount("/proc/self/exe", umlProgram, "", unix.MS_BIND, "") == nil {
		return nil
	}
	return copyProgram(umlProgram)
}

// umlMemoryFits looks whether a folder can hold a kernel's memory, and the machine a part of it.
func umlMemoryFits(dir string, mib int) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("memory folder %s: %w", dir, err)
	}
	if st.Flags&unix.MS_NOEXEC != 0 {
		return &MissingError{What: "uml", Reason: MemoryNoExec, Err: fmt.Errorf("%s is mounted noexec", dir), Mend: "sudo mount -o remount,exec " + dir}
	}
	if free := st.Bavail * uint64(st.Bsize) >> 20; free < uint64(mib) {
		return &MissingError{
			What: "uml", Reason: MemoryShort, Err: fmt.Errorf("%s has %d MiB, %d are needed", dir, free, mib),
			Mend: fmt.Sprintf("sudo mount -o remount,size=%dm %s", mib+64, dir),
		}
	}
	b, _ := os.ReadFile("/proc/meminfo")
	for _, l := range strings.Split(string(b), "\n") {
		f := strings.Fields(l)
		if len(f) < 2 || f[0] != "MemAvailable:" {
			continue
		}
		if kib, err := strconv.Atoi(f[1]); err == nil && kib>>10 < mib/2 {
			return &MissingError{
				What: "uml", Reason: MemoryShort, Err: fmt.Errorf("%d MiB are available, some %d are needed", kib>>10, mib/2),
				Mend: "free some memory, or use --kernel rootless",
			}
		}
	}
	return nil
}

func copyProgram(to string) error {
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer from.Close()
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}

// umlIdle are the parts of the kernel that measure for most of a second which of their ways to check disks is fastest.
const umlIdle = "raid6_select_algo,calibrate_xor_blocks"

// startUML runs the kernel and waits until its init answers on the console.
func startUML(linux, role, release string, u UML) (io.ReadWriteCloser, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "console"), os.NewFile(uintptr(pair[1]), "serial line")
	defer theirs.Close()
	log := &tail{max: stderrBytes}
	const consoleFD = 3
	cmd := &exec.Cmd{
		Path: linux, Dir: "/",
		Args: []string{
			"linux.uml", fmt.Sprintf("mem=%dM", u.MemoryMiB), "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro",
			"quiet", "con=null", "con0=null,fd:2", "ssl=null", fmt.Sprintf("ssl0=fd:%d", consoleFD),
			"umid=svclab", "initcall_blacklist=" + umlIdle, "GODEBUG=asyncpreemptoff=1", "GOMAXPROCS=2", "init=" + umlProgram, "--", umlName, role,
		},
		Env:        []string{"TMPDIR=" + umlMemory, "HOME=" + umlMemory, "PATH=" + toolPath},
		Stderr:     log,
		Stdout:     log,
		ExtraFiles: []*os.File{theirs}, WaitDelay: waitDelay,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err := onOneProcessor(cmd.Start); err != nil {
		return nil, fmt.Errorf("%s: %w", linux, err)
	}
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		cmd.Process.Kill()
		return nil, fmt.Errorf("console: %w", err)
	}
	go func() {
		err := cmd.Wait()
		fmt.Fprintf(os.Stderr, "User Mode Linux has ended: %v\n%s", err, log)
		conn.Close()
	}()
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, &MissingError{What: "uml", Reason: BootFailed, Err: fmt.Errorf("Linux %s: %s", release, strings.TrimSpace(log.String()))}
		}
		if line == umlReady {
			return &consoleEnd{Reader: r, Conn: conn}, nil
		}
		if why, ok := strings.CutPrefix(line, umlFailed); ok {
			return nil, &MissingError{What: "uml", Reason: BootFailed, Err: errors.New(strings.TrimSpace(why))}
		}
	}
}

// consoleEnd is the outer end of the serial line, whose first bytes have been read ahead.
type consoleEnd struct {
	*bufio.Reader
	net.Conn
}

func (c *consoleEnd) Read(p []byte) (int, error) { return c.Reader.Read(p) }
