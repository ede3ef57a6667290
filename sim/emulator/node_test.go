package emulator_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/emulator"
	"github.com/svclab/svclab/sim/input"
	"github.com/svclab/svclab/sim/run"
)

// TestNoNode: where no Node is given, a stand-in takes its place, and its clients' answers come back through it.
func TestNoNode(t *testing.T) {
	var kept []string
	for _, d := range strings.Split(world, "\n---\n") {
		if !strings.Contains(d, "kind: Node\n") && !strings.Contains(d, "KubeProxyConfiguration") {
			kept = append(kept, d)
		}
	}
	for _, mode := range []service.Mode{service.ModeIPTables, service.ModeIPVS} {
		s, err := run.Load([]input.Source{{Name: "world", Data: []byte(strings.Join(kept, "\n---\n"))}}, run.Options{Mode: mode})
		if err != nil {
			t.Fatal(err)
		}
		e, err := emulator.New(s, emulator.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, to := range []string{"web.shop:80", "10.96.0.80:80", "[fd00:96::80]:80"} {
			if page := get(t, dial(t, e, to), "x"); !strings.HasPrefix(page, "Pod shop/web-") {
				t.Errorf("%s, %s: %s", mode, to, page)
			}
		}
		e.Close()
	}
}

// TestAllNodes: with every Node modelled, each has its own rules: its node port answers, with its own address as what the Pod sees of a
// client that came by it, and what one changes all hear of.
func TestAllNodes(t *testing.T) {
	var said notes
	e := start(t, emulator.Options{AllNodes: true, Note: said.add})
	for _, mode := range []service.Mode{service.ModeIPTables, service.ModeIPVS} {
		if _, err := e.SwitchMode(mode, true); err != nil {
			t.Fatal(err)
		}
		for _, to := range []string{"192.168.8.12:30080", "[fd00:8::12]:30080"} {
			host, _, _ := net.SplitHostPort(to)
			for range 4 {
				page := get(t, dial(t, e, to), "x")
				if at := net.JoinHostPort(host, ""); !strings.Contains(page, "\nclient "+at) || !strings.HasPrefix(page, "Pod shop/web-") {
					t.Errorf("%s, %s: %s", mode, to, page)
				}
			}
		}
		if got := podsOf(t, e, "10.96.0.80:80", 30); len(got) != 2 {
			t.Errorf("%s: %v", mode, got)
		}
		text, err := e.Conntrack("two")
		if err != nil || !strings.Contains(text, "dst=192.168.8.12 ") || !strings.Contains(text, "dport=30080") {
			t.Errorf("%s, connections of two: %v\n%s", mode, err, text)
		}
	}
	if _, err := e.ChangeEndpoint(emulator.EndpointChange{Verb: emulator.Unready, Endpoint: netip.MustParseAddr("10.244.1.5")}); err != nil {
		t.Fatal(err)
	}
	if got := podsOf(t, e, "192.168.8.12:30080", 8); got["10.244.2.5:8080"] != 8 {
		t.Errorf("with one unready: %v", got)
	}
	f := e.Follow(false)
	defer f.Close()
	podsOf(t, e, "192.168.8.12:30080", 1)
	line := <-f.Lines
	for !strings.Contains(line, "[SYN]") { // ends of earlier connections
		line = <-f.Lines
	}
	if !strings.Contains(line, " one:pod0 tcp ") {
		t.Errorf("followed %q", line)
	}
	var in *emulator.InputError
	if _, err := e.Rules("three", packet.IPv4); !errors.As(err, &in) {
		t.Error(err)
	}
	if strings.Contains(said.String(), "--all-nodes") {
		t.Errorf("the user was told %q", said.String())
	}

	// With the local node alone, another node's port is silent, and the user hears why.
	e.Close()
	alone := open(t, emulator.Options{Note: said.add})
	defer alone.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := alone.Dial(ctx, "192.168.8.12:30080"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if !strings.Contains(said.String(), "--all-nodes") {
		t.Errorf("the user was told %q", said.String())
	}
}
