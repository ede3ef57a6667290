package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestReportToPipe: a report for something that is no regular file is written to it; it is not put in its place.
func TestReportToPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skipf("this file system has no named pipes: %v", err)
	}
	read := make(chan []byte)
	go func() {
		f, err := os.Open(pipe)
		if err != nil {
			t.Error(err)
		}
		b, _ := io.ReadAll(f)
		f.Close()
		read <- b
	}()
	var out, errs bytes.Buffer
	if code := Main([]string{"run", "../../scenarios/nginx.yaml", "-o", "json=" + pipe}, strings.NewReader(""), &out, &errs, func(string) (string, bool) { return "", false }); code != exitOK {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	if b := <-read; !bytes.Contains(b, []byte(`"kind": "Report"`)) {
		t.Errorf("the reader of the pipe got %q", b)
	}
	if st, err := os.Lstat(pipe); err != nil || st.Mode().Type() != os.ModeNamedPipe {
		t.Errorf("the pipe became %v, %v", st.Mode(), err)
	}
}
