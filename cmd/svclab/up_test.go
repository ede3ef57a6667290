package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/svclab/svclab/sim/box"
)

// environmentOf is an environment of nothing but a runtime folder.
func environmentOf(dir string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		if name == "XDG_RUNTIME_DIR" {
			return dir, true
		}
		return "", false
	}
}

// running is an svclab up in a goroutine.
type running struct {
	doors doors
	errs  *lockedBuffer
	code  chan int
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func startUp(t *testing.T, env func(string) (string, bool), args ...string) *running {
	t.Helper()
	r, w := io.Pipe()
	u := &running{errs: &lockedBuffer{}, code: make(chan int, 1)}
	go func() {
		code := Main(append([]string{"up"}, args...), strings.NewReader(""), w, u.errs, env)
		w.Close()
		u.code <- code
	}()
	line, err := bufio.NewReader(r).ReadBytes('\n')
	if err != nil {
		t.Fatalf("no first line: %v, exit %d: %s", err, <-u.code, u.errs)
	}
	if err := json.Unmarshal(line, &u.doors); err != nil || u.doors.Kind != "Emulator" || u.doors.SchemaVersion != "svclab/v1alpha1" {
		t.Fatalf("first line %s: %v", line, err)
	}
	return u
}

func (u *running) ends(t *testing.T, want int) {
	t.Helper()
	select {
	case code := <-u.code:
		if code != want {
			t.Errorf("exit %d, want %d: %s", code, want, u.errs)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("up does not end")
	}
}

// ctl runs one svclab ctl.
func ctl(env func(string) (string, bool), args ...string) (int, string) {
	var out, errs bytes.Buffer
	code := Main(append([]string{"ctl"}, args...), strings.NewReader(""), &out, &errs, env)
	return code, out.String() + errs.String()
}

const nginxManifests = "../../scenarios/nginx-manifests.yaml"

// TestUp is an afternoon with the emulator: doors, control, the end; nothing is left of it.
func TestUp(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	dir := t.TempDir()
	env := environmentOf(dir)
	if code, said := ctl(env, "status"); code != exitEnvironment || !strings.Contains(said, "svclab up FILE") {
		t.Errorf("none runs: exit %d: %s", code, said)
	}
	// What a killed one left gives way.
	stale := filepath.Join(dir, "svclab", "up-1.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()

	u := startUp(t, env, nginxManifests)
	if _, err := os.Lstat(stale); err == nil {
		t.Error("a socket that nobody listens on is still there")
	}
	for path, want := range map[string]os.FileMode{filepath.Join(dir, "svclab"): os.ModeDir | 0o700, u.doors.Control: os.ModeSocket | 0o600} {
		if st, err := os.Lstat(path); err != nil || st.Mode() != want {
			t.Errorf("%s: %v, %v, want %v", path, st.Mode(), err, want)
		}
	}
	for _, at := range []string{u.doors.Socks, u.doors.HTTP} {
		if host, _, err := net.SplitHostPort(at); err != nil || host != "127.0.0.1" {
			t.Errorf("door at %q", at)
		}
	}
	get := func(proxy, to string) string {
		t.Helper()
		p, err := url.Parse(proxy)
		if err != nil {
			t.Fatal(err)
		}
		tr := &http.Transport{Proxy: http.ProxyURL(p)}
		defer tr.CloseIdleConnections()
		r, err := (&http.Client{Transport: tr, Timeout: 10 * time.Second}).Get(to)
		if err != nil {
			t.Fatalf("%s by %s: %v", to, proxy, err)
		}
		defer r.Body.Close()
		b, _ := io.ReadAll(r.Body)
		return string(b)
	}
	for _, proxy := range []string{"socks5h://" + u.doors.Socks, "http://" + u.doors.HTTP} {
		if page := get(proxy, "http://nginx.default.svc.cluster.local/"); !strings.Contains(page, "of default/nginx on worker-") {
			t.Errorf("by %s: %s", proxy, page)
		}
	}
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"status", 0, "node worker-1 in mode iptables"}, {"status -o json", 0, `"kind": "EmulatorStatus"`},
		{"shares", 0, "default/nginx  10.102.19.139:80/tcp  2 connections so far"}, {"rules", 0, "[2:120] -A KUBE-SERVICES -d 10.102.19.139/32"},
		{"rules --family ipv6", 0, "*nat"}, {"conntrack", 0, "dst=10.102.19.139"}, {"unready 10.244.36.124", 0, "10.244.36.124 not ready in default/nginx"},
		{"ready 10.244.36.124 svc/default/nginx", 0, "ready in default/nginx"}, {"terminate 10.244.36.124 svc/nginx", 0, "terminating in default/nginx"},
		{"add 10.244.36.99 svc/default/nginx --node worker-1", 0, "10.244.36.99 added to default/nginx"}, {"add", 0, "added to default/nginx"},
		{"remove 10.244.36.99", 0, "removed from default/nginx"}, {"remove 10.244.36.99", 2, "is no endpoint"}, {"remove", 2, "which endpoint?"},
		{"add svc/default/none 10.244.36.98", 2, "has no EndpointSlice"}, {"add x", 2, "is not an IP address"}, {"mode ipvs", 0, "Using ipvs Proxier"},
		{"ipvs", 0, "TCP  10.102.19.139:80"}, {"ipvs --view servers", 0, "Masq"}, {"mode iptables --clean-up", 0, "0 virtual servers"},
		{"mode nftables", 2, "is not walked"}, {"mode", 2, "accepts 1 arg"}, {"ipvs --view x", 2, "is not stats"}, {"paint", 2, "unknown command"},
		{"--socket /nonexistent status", 3, "does not answer"},
	} {
		if code, said := ctl(env, strings.Fields(c.args)...); code != c.code || !strings.Contains(said, c.says) {
			t.Errorf("ctl %s: exit %d, want %d: %s", c.args, code, c.code, said)
		}
	}

	// A second one: ctl asks which is meant.
	second := startUp(t, env, nginxManifests, "--socks", "", "--http", "", "--socket", filepath.Join(dir, "svclab", "up-second.sock"))
	if second.doors.Socks != "" || second.doors.HTTP != "" {
		t.Errorf("doors that were not wanted: %+v", second.doors)
	}
	if code, said := ctl(env, "status"); code != exitInput || !strings.Contains(said, "--socket") {
		t.Errorf("two run: exit %d: %s", code, said)
	}
	if code, said := ctl(env, "stop", "--socket", second.doors.Control); code != 0 {
		t.Errorf("stop: exit %d: %s", code, said)
	}
	second.ends(t, exitOK)

	// A follower ends with the emulator.
	followed := make(chan string)
	go func() {
		_, said := ctl(env, "follow")
		followed <- said
	}()
	time.Sleep(300 * time.Millisecond)
	get("socks5h://"+u.doors.Socks, "http://nginx/")
	if code, said := ctl(env, "stop"); code != 0 {
		t.Errorf("stop: exit %d: %s", code, said)
	}
	u.ends(t, exitOK)
	if said := <-followed; !strings.Contains(said, " > 10.102.19.139:80 [SYN] ") || !strings.Contains(said, "KUBE-SVC-2CMXP7HKUVJN7L6M") {
		t.Errorf("followed: %.500s", said)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "svclab", "*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestUpInterrupted: a signal closes everything, and its code is told.
func TestUpInterrupted(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for sig, want := range map[syscall.Signal]int{syscall.SIGINT: exitInterrupted, syscall.SIGTERM: exitTerminated} {
		u := startUp(t, environmentOf(t.TempDir()), "../../scenarios/nginx.yaml")
		c, err := net.Dial("tcp", u.doors.Socks)
		if err != nil {
			t.Fatal(err)
		}
		_ = syscall.Kill(os.Getpid(), sig)
		u.ends(t, want)
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
			t.Errorf("%v: a connection is still open: %v", sig, err)
		}
		c.Close()
		if strings.Contains(u.errs.String(), "context") {
			t.Errorf("%v: said %s", sig, u.errs)
		}
	}
}

// TestUpBadInput: what cannot be is refused before a door opens.
func TestUpBadInput(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	open := t.TempDir() // a runtime folder that others may enter
	if err := os.Mkdir(filepath.Join(open, "svclab"), 0o755); err != nil {
		t.Fatal(err)
	}
	link := t.TempDir()
	if err := os.Symlink(t.TempDir(), filepath.Join(link, "svclab")); err != nil {
		t.Fatal(err)
	}
	good := t.TempDir()
	for _, c := range []struct{ dir, args, says string }{
		{good, "", "no input"}, {good, "/nonexistent.yaml", "no such file"}, {good, "../../scenarios/nginx-older.save", "give manifests"},
		{good, nginxManifests + " --mtu 100", "--mtu"}, {good, nginxManifests + " --mode nftables", "nftables"}, {good, nginxManifests + " --mode x", "is not a mode"},
		{good, nginxManifests + " --socks 0.0.0.0:0", "--listen"}, {good, nginxManifests + " --http :0", "is not ADDRESS:PORT"},
		{good, nginxManifests + " --backend default/nginx=tcp://192.0.2.1:80", "leads off this machine"}, {good, nginxManifests + " --backend default/apache=tcp://127.0.0.1:80", "names no Service port"},
		{good, nginxManifests + " --from nobody", "neither an address"}, {good, nginxManifests + " -- ls", "needs --shell"}, {good, nginxManifests + " --node worker-9 --node", "--node"},
		{open, nginxManifests, "mode 0700"}, {link, nginxManifests, "mode 0700"},
	} {
		var out, errs bytes.Buffer
		args := append([]string{"up"}, strings.Fields(c.args)...)
		if code := Main(args, strings.NewReader(""), &out, &errs, environmentOf(c.dir)); code != exitInput || !strings.Contains(errs.String(), c.says) || out.Len() > 0 {
			t.Errorf("up %s: exit %d, want %d and %q: %s%s", c.args, code, exitInput, c.says, out.String(), errs.String())
		}
	}
}

// TestUpListen: beyond loopback a door warns.
func TestUpListen(t *testing.T) {
	env := environmentOf(t.TempDir())
	u := startUp(t, env, nginxManifests, "--listen", "--socks", "0.0.0.0:0", "--http", "")
	if !strings.Contains(u.errs.String(), "warning: --socks listens at ") {
		t.Errorf("said %s", u.errs)
	}
	ctl(env, "stop")
	u.ends(t, exitOK)
}

// TestKernelUpShell: the command of a shell has its exit code handed on, its output alone on standard output, and a control socket that
// it finds in its environment.
func TestKernelUpShell(t *testing.T) {
	if os.Getenv("SVCLAB_KERNEL_TESTS") == "" {
		t.Skip("tests with namespaces run with SVCLAB_KERNEL_TESTS=1: make kernel-test")
	}
	if _, err := box.Tool("curl"); err != nil {
		t.Skipf("curl is missing: %v", err)
	}
	for _, c := range []struct {
		script string
		code   int
		says   string
	}{
		{"exit 7", 7, ""}, {"true", 0, ""}, {"kill -TERM $$", 143, ""},
		{"curl -sS -m 10 10.102.19.139", 0, "of default/nginx on worker-"},
		{"curl -sS -m 10 192.168.10.11:30601", 0, "client 192.168.10.11:"},
		{"curl -sS -m 10 --unix-socket $SVCLAB_SOCKET http://svclab/status", 0, "node worker-1 in mode iptables"},
		{"curl -sS -m 10 -X POST --unix-socket $SVCLAB_SOCKET http://svclab/stop > /dev/null; sleep 100", 0, ""},
	} {
		out, err := os.CreateTemp(t.TempDir(), "out")
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		dir := t.TempDir()
		var errs lockedBuffer
		code := Main([]string{"up", nginxManifests, "--shell", "--", "/bin/sh", "-c", c.script}, strings.NewReader(""), out, &errs, environmentOf(dir))
		if code == exitEnvironment {
			t.Skip("no shell can be had here: " + errs.String())
		}
		text, _ := os.ReadFile(out.Name())
		if code != c.code || !strings.Contains(string(text), c.says) || c.says == "" && len(text) > 0 {
			t.Errorf("%s: exit %d, want %d:\n%s%s", c.script, code, c.code, text, errs.String())
		}
		if !strings.Contains(errs.String(), `{"schemaVersion":"svclab/v1alpha1","kind":"Emulator",`) {
			t.Errorf("%s: standard error says %s", c.script, errs.String())
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "svclab", "*")); len(left) > 0 {
			t.Errorf("%s: left %v", c.script, left)
		}
	}
}

// TestUpCapture: what passes the nodes is in a pcapng that trace reads back: real bytes, at every hook, with rules in comments.
func TestUpCapture(t *testing.T) {
	env := environmentOf(t.TempDir())
	file := filepath.Join(t.TempDir(), "up.pcapng")
	u := startUp(t, env, nginxManifests, "--capture", file, "--http", "127.0.0.1:0")
	proxy, err := url.Parse("http://" + u.doors.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{Proxy: http.ProxyURL(proxy)}
	r, err := (&http.Client{Transport: tr, Timeout: 10 * time.Second}).Get("http://10.102.19.139/find-me")
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	tr.CloseIdleConnections()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) { // it grows while the emulator runs
		b, _ := os.ReadFile(file)
		if bytes.Contains(b, []byte("GET /find-me HTTP/1.1")) && bytes.Contains(b, []byte("worker-1 PREROUTING")) && bytes.Contains(b, []byte("KUBE-SVC-2CMXP7HKUVJN7L6M")) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the capture of %d bytes misses something", len(b))
		}
	}
	if code, said := ctl(env, "stop"); code != 0 {
		t.Errorf("stop: exit %d: %s", code, said)
	}
	u.ends(t, exitOK)
	var out, errs bytes.Buffer
	if code := Main([]string{"trace", "-f", nginxManifests, "--capture", file}, strings.NewReader(""), &out, &errs, env); code != exitOK || !strings.Contains(out.String(), "10.102.19.139:80") {
		t.Errorf("read back: exit %d: %.500s%.500s", code, out.String(), errs.String())
	}
}
