package run

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/wire"
)

// FuzzWalk gives nodes whatever a capture holds: nothing of it may stop a node, and what it did at its hooks can be captured and
// read again.
func FuzzWalk(f *testing.F) {
	for _, text := range []string{
		"450000280001400040063414cb007107c0a80a0b9c40778900000000000000005002200 0755d0000",                                // to a node port
		"45000028000140004006000a0af424420a6613 8b9c41005000000000000000005002200000000000",                                // to a cluster IP
		"4500001c0001400040110000cb0071070a66138b9c40005000080000",                                                         // a datagram to it
		"4500001c0001400040010000cb0071070a66138b0800000000070000",                                                         // an echo request
		"4500003800014000400100000a660a010a660a0203030000000000004500001c0001400040110000cb0071070a66138b9c40005000080000", // an error
		"4500001c0001200040110000cb0071070a66138b9c40005000080000",                                                         // fragments
		"4500001c0001000140110000cb0071070a66138b9c40005000080000",
	} {
		b, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(text), []byte(" "), nil)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, b)
	}
	subject := nginx(f)
	f.Fuzz(func(t *testing.T, one, two []byte) {
		var file, hooks bytes.Buffer
		w, err := wire.NewWriter(&file, wire.Section{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.AddInterface(wire.Interface{Name: "eth0", Link: wire.Raw}); err != nil {
			t.Fatal(err)
		}
		for i, b := range [][]byte{one, two, one} {
			if err := w.Packet(time.Duration(i)*time.Minute, 0, b, ""); err != nil {
				t.Fatal(err)
			}
		}
		c, err := NewCapture(&hooks, CaptureOptions{})
		if err != nil {
			t.Fatal(err)
		}
		subject.Node.Undo(func() {
			_, err = subject.Walk(CaptureRequest{Name: "fuzz", File: &file, Seed: 1, Capture: c, Each: func(*report.Passed) error { return nil }})
		})
		var cut *wire.CutError
		if err != nil && !errors.As(err, &cut) || c.Err() != nil {
			t.Fatal(err, c.Err())
		}
		r, err := wire.NewReader("hooks", &hooks)
		if err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := r.Next(); err == io.EOF {
				break
			}
		}
		if r.Cut() != nil {
			t.Fatal(r.Cut())
		}
	})
}
