package dns

import (
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/svclab/svclab/sim/input"
)

const stepObjects = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1], ports: [{port: 80}]}
`

func stepCluster(t *testing.T) *Cluster {
	t.Helper()
	o, err := input.Read([]input.Source{{Name: "o.yaml", Data: []byte(stepObjects)}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Load(o, nil, Options{Upstream: Outside(map[string][]netip.Addr{"example.org": {netip.MustParseAddr("198.51.100.7")}})})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Made in steps, a lookup asks and ends as one whose answers come at once.
func TestStepsAreTheLookup(t *testing.T) {
	c := stepCluster(t)
	for _, libc := range []Libc{Glibc, Musl, OldMusl, Go} {
		for _, name := range []string{"web", "web.default", "web.default.svc.cluster.local", "example.org", "example.org.", "nothing", "a..b"} {
			r := c.Client("default", libc, nil)
			queries, _, want := r.Lookup(name)
			var plain []QueryReport
			for _, q := range queries {
				plain = append(plain, reportOf(q))
			}
			s := r.Start(name)
			for {
				asks, _, more := s.Next()
				if !more {
					break
				}
				var answers [][]byte
				for _, a := range asks {
					answers = append(answers, c.Respond(a.Transport, a.Message))
				}
				s.Answer(answers, 0)
			}
			stepped := s.Queries()
			if _, err := s.Addresses(); !errors.Is(err, want) || len(stepped) != len(plain) {
				t.Fatalf("%s, %s: %v and %d queries, want %v and %d", libc, name, err, len(stepped), want, len(plain))
			}
			for i := range plain {
				if plain[i].records, stepped[i].records = nil, nil; !reflect.DeepEqual(plain[i], stepped[i]) {
					t.Errorf("%s, %s: query %d is %+v, want %+v", libc, name, i, stepped[i], plain[i])
				}
			}
		}
	}
}

// What leaves at once, and from which sockets (glibc resolv/res_send.c, send_dg; musl res_msend.c; Go net/dnsclient_unix.go).
func TestStepsSockets(t *testing.T) {
	c := stepCluster(t)
	for _, x := range []struct {
		libc    Libc
		options []string
		lots    []int // messages of each step
		sockets int
	}{
		{Glibc, nil, []int{2}, 1},
		{Glibc, []string{"single-request"}, []int{1, 1}, 1},
		{Glibc, []string{"single-request-reopen"}, []int{1, 1}, 2},
		{Musl, nil, []int{2}, 1},
		{Go, nil, []int{2}, 2},
	} {
		s := c.Client("default", x.libc, x.options).Start("web.default.svc.cluster.local.")
		var lots []int
		sockets := map[int]bool{}
		for {
			asks, _, more := s.Next()
			if !more {
				break
			}
			lots = append(lots, len(asks))
			var answers [][]byte
			for _, a := range asks {
				sockets[a.Socket] = true
				answers = append(answers, c.Respond(a.Transport, a.Message))
			}
			s.Answer(answers, time.Millisecond)
		}
		if !reflect.DeepEqual(lots, x.lots) || len(sockets) != x.sockets {
			t.Errorf("%s %v: steps of %v from %d sockets, want %v from %d", x.libc, x.options, lots, len(sockets), x.lots, x.sockets)
		}
	}
}

// glibc that loses one of two answers waits for its timeout, then asks for both again, one after the other: 5 s.
func TestStepsLostHalf(t *testing.T) {
	c := stepCluster(t)
	s := c.Client("default", Glibc, nil).Start("web.default.svc.cluster.local.")
	var now time.Duration
	for lot := 0; ; lot++ {
		asks, wait, more := s.Next()
		if !more {
			break
		}
		var answers [][]byte
		for i, a := range asks {
			if lot == 0 && i == 1 {
				answers = append(answers, nil)
				continue
			}
			answers = append(answers, c.Respond(a.Transport, a.Message))
		}
		took := time.Millisecond
		if lot == 0 {
			took = wait
		}
		now += took
		s.Answer(answers, took)
	}
	a, err := s.Addresses()
	if q := s.Queries(); err != nil || len(a) != 1 || len(q) != 4 || now != 5*time.Second+2*time.Millisecond || q[2].AtSeconds != 5 || q[3].AtSeconds != 5.001 {
		t.Errorf("%v %v after %s: %+v", a, err, now, q)
	}
}

// Answers that are none are silence.
func TestStepsBadAnswers(t *testing.T) {
	c := stepCluster(t)
	for _, bad := range [][]byte{{}, {1, 2, 3}, make([]byte, 600)} {
		s := c.Client("default", Go, nil).Start("web.default.svc.cluster.local.")
		n := 0
		for ; n < 100; n++ {
			asks, wait, more := s.Next()
			if !more {
				break
			}
			s.Answer([][]byte{bad, bad}[:min(2, len(asks))], wait)
		}
		if _, err := s.Addresses(); !errors.Is(err, ErrTryAgain) || n > 10 {
			t.Errorf("%d bytes: %v after %d steps", len(bad), err, n)
		}
	}
	s := c.Client("default", Go, nil).Start("web")
	s.Next()
	s.Stop()
	if _, _, more := s.Next(); more {
		t.Error("a lookup that was given up goes on")
	}
}
