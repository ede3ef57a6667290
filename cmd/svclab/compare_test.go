package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/svclab/svclab/sim/report"
)

// TestKernelInterrupted: svclab compare that hears a signal at any moment ends within 2 s, with its code and a valid report.
func TestKernelInterrupted(t *testing.T) {
	if os.Getenv("SVCLAB_KERNEL_TESTS") != "1" {
		t.Skip("not asked for: kernel tests run under `make kernel-test` (SVCLAB_KERNEL_TESTS=1)")
	}
	t.Chdir("../../scenarios")
	long := strings.Replace(endless, "2000000000", "400000", 1)
	for sig, want := range map[syscall.Signal]int{syscall.SIGINT: exitInterrupted, syscall.SIGTERM: exitTerminated} {
		for _, after := range []time.Duration{50 * time.Millisecond, 700 * time.Millisecond, 3 * time.Second} {
			var sent time.Time
			in := &onRead{Reader: strings.NewReader(long), f: func() {
				time.AfterFunc(after, func() { sent = time.Now(); _ = syscall.Kill(os.Getpid(), sig) })
			}}
			file := filepath.Join(t.TempDir(), "report.json")
			var out, errs bytes.Buffer
			code := Main([]string{"compare", "-", "-o", "json", "-o", "html=" + file}, in, &out, &errs, func(string) (string, bool) { return "", false })
			took := time.Since(sent)
			if code == exitEnvironment {
				t.Skip("no kernel can be had here: " + errs.String())
			}
			if code != want || took > 2*time.Second {
				t.Errorf("%v after %s: exit %d, want %d, %s later: %s", sig, after, code, want, took, errs.String())
			}
			var r report.Report
			if err := json.Unmarshal(out.Bytes(), &r); err != nil || r.Kind != "Report" || r.Verdict == report.Pass {
				t.Errorf("%v after %s: no valid report of a part: %v\n%s", sig, after, err, out.String())
			}
			if text, err := os.ReadFile(file); err != nil || !bytes.HasSuffix(bytes.TrimSpace(text), []byte("</html>")) {
				t.Errorf("%v after %s: %v: half a page", sig, after, err)
			}
		}
	}
}

// TestKernelRecord: what a kernel did is recorded, and played back without a difference; with one backend changed, one is found.
func TestKernelRecord(t *testing.T) {
	if os.Getenv("SVCLAB_KERNEL_TESTS") != "1" {
		t.Skip("not asked for: kernel tests run under `make kernel-test` (SVCLAB_KERNEL_TESTS=1)")
	}
	for _, variant := range []string{"legacy", "nft"} {
		file := filepath.Join(t.TempDir(), "nginx.json")
		call := func(args ...string) (int, string) {
			var out, errs bytes.Buffer
			code := Main(args, strings.NewReader(""), &out, &errs, func(string) (string, bool) { return "", false })
			return code, out.String() + errs.String()
		}
		code, text := call("record", "../../scenarios/nginx.yaml", "--only", "node-port:0-499", "--variant", variant, "-o", file)
		if code == exitEnvironment {
			t.Skip("no kernel can be had here: " + text)
		}
		if code != exitOK {
			t.Fatalf("%s: exit %d: %s", variant, code, text)
		}
		if code, text = call("replay", file); code != exitOK || !strings.Contains(text, "ok nginx events=501") {
			t.Errorf("%s: exit %d: %s", variant, code, text)
		}
		recorded, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.Replace(string(recorded), `"10.244.36.124:80",{`, `"10.244.36.99:80",{`, 1)
		if err := os.WriteFile(file, []byte(changed), 0o644); err != nil {
			t.Fatal(err)
		}
		if code, text = call("replay", file); code != exitFailed || !strings.Contains(text, "DIFF nginx") {
			t.Errorf("%s, changed: exit %d: %s", variant, code, text)
		}
	}
}
