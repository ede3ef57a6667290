package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/svclab/svclab/datapath/share"
)

func call(args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = Main(args, strings.NewReader(""), &o, &e, func(string) (string, bool) { return "", false })
	return code, o.String(), e.String()
}

// The codes are those of the command-line contract.
func TestExitCodes(t *testing.T) {
	const dir = "../../scenarios/"
	for _, c := range []struct {
		want int
		args string
	}{
		{0, "version"},
		{0, "rules -f " + dir + "nginx-manifests.yaml"},
		{0, "validate " + dir + "nginx.yaml"},
		{1, "run " + dir + "wrong-chain.yaml"},
		{2, "rules -f " + dir + "wrong-chain.save"},
		{2, "rules -f /nonexistent"},
		{2, "rules --nosuchflag"},
		{2, "nosuchverb"},
		{2, "trace"},
		{5, "run " + dir + "nginx.yaml --timeout 1ns"},
	} {
		code, out, errs := call(strings.Fields(c.args)...)
		if code != c.want {
			t.Errorf("svclab %s: exit %d, want %d\n%s%s", c.args, code, c.want, out, errs)
		}
		if c.want == 2 && (out != "" || strings.Count(errs, "\n") != 1 || !strings.HasPrefix(errs, "svclab: ")) {
			t.Errorf("svclab %s: want one line on standard error, got %q and %q", c.args, out, errs)
		}
	}
}

// What stopped half-way has a valid report all the same.
func TestStoppedRunReports(t *testing.T) {
	code, out, errs := call("run", "../../scenarios/nginx.yaml", "--timeout", "1ns", "-o", "json")
	if code != exitLimit || !strings.Contains(out, `"kind": "Report"`) || !strings.Contains(out, "stopped after 0 of 200000 connections") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}

func TestCodesOfErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("anything a user wrote"), 2},
		{fmt.Errorf("trace: %w", &share.TooManyPathsError{}), 5},
		{context.DeadlineExceeded, 5},
		{context.Canceled, 130},
		{exit(4), 4},
		{&codeError{code: exitEnvironment, err: errors.New("no kernel")}, 3},
	} {
		if got := codeOf(c.err); got != c.want {
			t.Errorf("%v: exit %d, want %d", c.err, got, c.want)
		}
	}
}

// A fault of the program itself is told as one, with its own code.
func TestPanicIsInternal(t *testing.T) {
	var o, e bytes.Buffer
	code := Main([]string{"version"}, strings.NewReader(""), panicky{}, &e, func(string) (string, bool) { return "", false })
	if code != exitInternal || !strings.Contains(e.String(), "internal error: writer broke") {
		t.Errorf("exit %d: %s%s", code, o.String(), e.String())
	}
}

type panicky struct{}

func (panicky) Write([]byte) (int, error) { panic("writer broke") }
