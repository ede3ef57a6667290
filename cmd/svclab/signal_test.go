package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/svclab/svclab/sim/report"
)

const endless = `apiVersion: svclab/v1alpha1
kind: Scenario
metadata: {name: endless}
spec:
  manifests: [nginx-manifests.yaml]
  traffic:
  - {name: t, from: {pods: 10}, to: {service: default/nginx}, connections: 2000000000, rate: 1000/s}
  checks:
  - {name: even, shares: {traffic: t, expect: uniform}}
`

// onRead calls f when it is first read: the program is up by then and hears signals.
type onRead struct {
	io.Reader
	f func()
}

func (r *onRead) Read(p []byte) (int, error) {
	if r.f != nil {
		r.f()
		r.f = nil
	}
	return r.Reader.Read(p)
}

// An interrupted run ends soon, with a valid report of what was seen and the code of the signal.
func TestInterrupted(t *testing.T) {
	t.Chdir("../../scenarios")
	for sig, want := range map[syscall.Signal]int{syscall.SIGINT: exitInterrupted, syscall.SIGTERM: exitTerminated} {
		in := &onRead{Reader: strings.NewReader(endless), f: func() {
			time.AfterFunc(300*time.Millisecond, func() { _ = syscall.Kill(os.Getpid(), sig) })
		}}
		var out, errs bytes.Buffer
		code := Main([]string{"run", "-", "-o", "json"}, in, &out, &errs, func(string) (string, bool) { return "", false })
		if code != want {
			t.Errorf("%v: exit %d, want %d: %s", sig, code, want, errs.String())
		}
		var r report.Report
		if err := json.Unmarshal(out.Bytes(), &r); err != nil || r.Kind != "Report" || r.Traffic[0].Connections == 0 {
			t.Errorf("%v: no valid report of a part: %v\n%s", sig, err, out.String())
		}
	}
}
