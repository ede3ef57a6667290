package emulator_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/sim/emulator"
)

// The replies of RFC 1928, section 6.
const (
	granted       = 0
	notAllowed    = 2
	unreachable   = 4
	refused       = 5
	noSuchCommand = 7
)

// TestSOCKS: a name goes through cluster DNS, the rules and a Pod that names itself; what is not of the cluster is refused by the code
// that says so. Expectation: the world's text, RFC 1928.
func TestSOCKS(t *testing.T) {
	e := start(t, emulator.Options{})
	door := socksDoor(t, e)
	for _, host := range []string{"web.shop.svc.cluster.local", "web.shop", "10.96.0.80", "fd00:96::80"} {
		seen := map[string]bool{}
		for range 20 {
			c, code := socks(t, door, 1, net.JoinHostPort(host, "80"))
			if c == nil {
				t.Fatalf("%s: code %d", host, code)
			}
			page := get(t, c, "web")
			for _, pod := range []string{"web-a", "web-b"} {
				if strings.Contains(page, "Pod shop/"+pod+", endpoint ") {
					seen[pod] = true
				}
			}
			if !strings.Contains(page, "\nclient 10.244.1.254:") && !strings.Contains(page, "\nclient [fd00:10:244:1:") {
				t.Errorf("%s: %s", host, page)
			}
		}
		if len(seen) != 2 { // each misses by a chance of 2^-19
			t.Errorf("%s: only %v answered", host, seen)
		}
	}
	// A node port of the local node: from a Pod it is masqueraded.
	c, _ := socks(t, door, 1, "192.168.8.11:30080")
	if page := get(t, c, "np"); !strings.Contains(page, "\nclient 192.168.8.11:") {
		t.Errorf("node port: %s", page)
	}
	for _, x := range []struct {
		command byte
		to      string
		want    byte
	}{
		{1, "1.1.1.1:80", notAllowed}, {1, "127.0.0.1:22", notAllowed}, {1, "[::1]:22", notAllowed}, {1, "169.254.169.254:80", notAllowed},
		{1, "[2606:4700::1111]:443", notAllowed}, {1, "0.0.0.0:80", notAllowed}, {1, "[::ffff:1.1.1.1]:80", notAllowed}, {1, "224.0.0.1:80", notAllowed},
		{1, "example.com:80", unreachable}, {1, "absent.shop.svc.cluster.local:80", unreachable},
		{1, "10.96.0.81:80", refused}, {1, "10.244.1.5:81", refused},
		{2, "10.96.0.80:80", noSuchCommand}, {3, "10.96.0.80:80", noSuchCommand},
	} {
		if c, code := socks(t, door, x.command, x.to); c != nil || code != x.want {
			t.Errorf("command %d to %s: code %d, want %d", x.command, x.to, code, x.want)
		}
	}
	// The queries passed the Service of cluster DNS: its endpoints had some.
	shares, err := e.Shares()
	if err != nil {
		t.Fatal(err)
	}
	queries := int64(0)
	for _, s := range shares {
		if s.To == "10.96.0.10:53" && s.Proto == "udp" {
			queries = s.Connections
		}
	}
	// web.shop.svc.cluster.local has three dots, fewer than ndots:5, so the three suffixes of the search list come before the name
	// itself: four names, A and AAAA; web.shop is found with the second suffix.
	if want := int64(20*(4*2+2*2) + 4*2 + 4*2); queries != want {
		t.Errorf("%d queries passed the rules, want %d", queries, want)
	}
}

// TestHTTPProxy: CONNECT and plain requests go the same way, and the same is refused.
func TestHTTPProxy(t *testing.T) {
	e := start(t, emulator.Options{})
	l, err := emulator.Listen("--http", "127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.ServeHTTP(l); err != nil {
		t.Fatal(err)
	}
	proxy := &url.URL{Scheme: "http", Host: l.Addr().String()}
	tr := &http.Transport{Proxy: http.ProxyURL(proxy)}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr, Timeout: 10 * time.Second}
	for to, want := range map[string]int{
		"http://web.shop/y": 200, "http://10.96.0.80/y": 200, "http://1.1.1.1/": 403, "http://example.com/": 502, "http://127.0.0.1:1/": 403,
	} {
		r, err := client.Get(to)
		if err != nil {
			t.Errorf("%s: %v", to, err)
			continue
		}
		b, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if r.StatusCode != want || want == 200 && !strings.Contains(string(b), "Pod shop/web-") {
			t.Errorf("%s: %s %s", to, r.Status, b)
		}
	}
	for to, want := range map[string]string{"web.shop:80": "200", "1.1.1.1:443": "403", "10.96.0.81:80": "502"} {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", to, to)
		head := make([]byte, len("HTTP/1.1 200"))
		if _, err := io.ReadFull(c, head); err != nil || string(head) != "HTTP/1.1 "+want {
			t.Errorf("CONNECT %s: %q %v", to, head, err)
		}
		c.Close()
	}
	// It is no server of its own, and does not fetch from itself.
	r, err := http.Get("http://" + l.Addr().String() + "/")
	if err != nil || r.StatusCode != 400 {
		t.Errorf("asked for a page: %v %v", r, err)
	}
	r.Body.Close()
	http.DefaultClient.CloseIdleConnections()
}

// TestListen: doors are on loopback unless the user said otherwise.
func TestListen(t *testing.T) {
	for at, ok := range map[string]bool{
		"127.0.0.1:0": true, "localhost:0": true, "[::1]:0": true, "127.0.0.1": false, "0.0.0.0:0": false, "[::]:0": false, ":0": false,
		"192.0.2.1:0": false, "example.com:0": false, "127.0.0.1:x": false,
	} {
		l, err := emulator.Listen("--socks", at, false)
		if l != nil {
			l.Close()
		}
		var in *emulator.InputError
		if (err == nil) != ok && at != "[::1]:0" || err != nil && !errors.As(err, &in) {
			t.Errorf("%s: %v", at, err)
		}
	}
	l, err := emulator.Listen("--socks", "0.0.0.0:0", true)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// TestDialErrors: what a client is told, it is told by the name that programs look for.
func TestDialErrors(t *testing.T) {
	e := start(t, emulator.Options{})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var outside *emulator.OutsideError
	var name *emulator.NameError
	var in *emulator.InputError
	if _, err := e.Dial(ctx, "8.8.8.8:53"); !errors.As(err, &outside) {
		t.Errorf("outside: %v", err)
	}
	if _, err := e.Dial(ctx, "nothing.shop:80"); !errors.As(err, &name) {
		t.Errorf("no name: %v", err)
	}
	for _, bad := range []string{"web.shop", "web.shop:0", "web.shop:http", "10.96.0.80:65536", ""} {
		if _, err := e.Dial(ctx, bad); !errors.As(err, &in) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	var op *net.OpError
	if _, err := e.Dial(ctx, "10.96.0.81:80"); !errors.As(err, &op) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("no endpoints: %v", err)
	}
	short, stop := context.WithTimeout(ctx, 100*time.Millisecond)
	defer stop()
	if _, err := e.Dial(short, "10.244.1.77:80"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody there: %v", err)
	}
}

// TestHangUp: a client that leaves while its connection is being made takes the attempt with it; one that speaks early is heard.
func TestHangUp(t *testing.T) {
	e := start(t, emulator.Options{})
	door := socksDoor(t, e)
	silent := func() (q []byte) { // a Pod that does not exist: its packets vanish
		return []byte{5, 1, 0, 5, 1, 0, 1, 10, 244, 1, 77, 0, 80}
	}
	var conns []net.Conn
	for range 20 {
		c, err := net.Dial("tcp", door)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(silent()); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	open := func(want int) {
		t.Helper()
		for deadline := time.Now().Add(5 * time.Second); e.Status().Doors[0].Open != want; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d open, want %d", e.Status().Doors[0].Open, want)
			}
		}
	}
	open(20)
	for _, c := range conns {
		c.Close()
	}
	open(0)

	c, err := net.Dial("tcp", door)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	early := append([]byte{5, 1, 0, 5, 1, 0, 1, 10, 96, 0, 80, 0, 80}, "GET / HTTP/1.1\r\nHost: early\r\nConnection: close\r\n\r\n"...)
	if _, err := c.Write(early); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil || !strings.Contains(string(b), "asked for http://early/") {
		t.Errorf("%q %v", b, err)
	}
}
