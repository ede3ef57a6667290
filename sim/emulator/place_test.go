package emulator_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/sim/emulator"
	"github.com/svclab/svclab/sim/input"
	"github.com/svclab/svclab/sim/run"
)

// TestEcho: whatever is no HTTP comes back, after a line that names the Pod; both families.
func TestEcho(t *testing.T) {
	e := start(t, emulator.Options{})
	for _, to := range []string{"10.96.0.80:80", "[fd00:96::80]:80"} {
		for _, say := range []string{"hello\n", "G", "GET", "\x00\x01\x02", strings.Repeat("x", 1<<20)} {
			c := dial(t, e, to)
			go func() {
				io.WriteString(c, say)
				c.(interface{ CloseWrite() error }).CloseWrite()
			}()
			b, err := io.ReadAll(c)
			who, rest, _ := strings.Cut(string(b), "\n")
			if err != nil || !strings.HasPrefix(who, "Pod shop/web-") || rest != say {
				t.Errorf("%s: %d bytes said, %q and %d bytes heard, %v", to, len(say), who, len(rest), err)
			}
			c.Close()
		}
	}
}

// TestHTTP2: the built-in server speaks HTTP/2 without TLS, as gRPC and curl --http2-prior-knowledge do, and sends bytes by the number.
func TestHTTP2(t *testing.T) {
	e := start(t, emulator.Options{})
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: p, DialContext: func(ctx context.Context, _, at string) (net.Conn, error) { return e.Dial(ctx, at) }}
	defer tr.CloseIdleConnections()
	r, err := (&http.Client{Transport: tr}).Get("http://web.shop/")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(r.Body)
	r.Body.Close()
	if r.ProtoMajor != 2 || !strings.HasPrefix(string(b), "Pod shop/web-") {
		t.Errorf("%s %q", r.Proto, b)
	}
	for path, want := range map[string]int64{"/bytes/1000000": 1000000, "/bytes/0": 0} {
		r, err := (&http.Client{Transport: tr}).Get("http://web.shop" + path)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r.Body)
		r.Body.Close()
		if n != want || err != nil {
			t.Errorf("%s: %d bytes, %v", path, n, err)
		}
	}
	r, err = (&http.Client{Transport: tr}).Get("http://web.shop/bytes/-1")
	if err != nil || r.StatusCode != 400 {
		t.Errorf("a negative number: %v %v", r, err)
	}
	r.Body.Close()
}

// TestBackend: a process of the user's stands behind a Service, by flag or by annotation; when it is gone, its clients are told.
func TestBackend(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "mine") })}
	go srv.Serve(l)
	defer srv.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	b, err := emulator.ParseBackend("shop/web:80=tcp://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	annotated := func(name, ip, target string) string {
		return fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: shop, annotations: {%s: "%s"}}
spec: {clusterIP: %s, clusterIPs: [%s], ports: [{port: 80, protocol: TCP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %s-1, namespace: shop, labels: {kubernetes.io/service-name: %s}}
addressType: IPv4
ports: [{port: 8080, protocol: TCP}]
endpoints: [{addresses: [10.244.1.%s], nodeName: one, conditions: {ready: true}}]
`, name, emulator.Annotation, target, ip, ip, name, name, ip[strings.LastIndex(ip, ".")+1:])
	}
	var said notes
	e := start(t, emulator.Options{Backends: []emulator.Backend{b}, Note: said.add},
		annotated("api", "10.96.0.90", "tcp://"+l.Addr().String()), annotated("dead", "10.96.0.91", "tcp://"+gone.Addr().String()))
	for _, to := range []string{"10.96.0.80:80", "10.96.0.90:80", "10.244.2.5:8080"} {
		if page := get(t, dial(t, e, to), "x"); page != "mine" {
			t.Errorf("%s: %q", to, page)
		}
	}
	c := dial(t, e, "10.96.0.91:80")
	fmt.Fprintln(c, "anybody?")
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if b, err := io.ReadAll(c); len(b) > 0 || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a backend that is gone: %q %v", b, err)
	}
	c.Close()
	if !strings.Contains(said.String(), "backend "+gone.Addr().String()+" of shop/dead") {
		t.Errorf("the user was told %q", said.String())
	}
}

// TestBadBackend: what cannot be is refused by name, and nothing leads off this machine.
func TestBadBackend(t *testing.T) {
	for text, says := range map[string]string{
		"shop/web": "is not NS/SVC", "web=tcp://127.0.0.1:1": "does not begin with NS/SVC", "shop/web=tcp://192.0.2.1:80": "leads off this machine",
		"shop/web=tcp://[2001:db8::1]:80": "leads off this machine", "shop/web=http://127.0.0.1:80": "tcp and udp are known", "shop/web=127.0.0.1:80": "leads to",
		"shop/web=tcp://example.com:80": "leads to no address", "shop/web=tcp://127.0.0.1:0": "leads to no address", "shop/web=tcp://127.0.0.1:80/x": "leads to",
	} {
		_, err := emulator.ParseBackend(text)
		var in *emulator.InputError
		if !errors.As(err, &in) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"shop/none=tcp://127.0.0.1:1", "shop/web:9=tcp://127.0.0.1:1"} {
		b, err := emulator.ParseBackend(text)
		if err != nil {
			t.Fatal(err)
		}
		s, err := run.Load([]input.Source{{Name: "world", Data: []byte(world)}}, run.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if e, err := emulator.New(s, emulator.Options{Backends: []emulator.Backend{b}}); err == nil {
			e.Close()
			t.Errorf("%s is taken", text)
		}
	}
}

// TestFrom: who the client is decides where its packets enter and what is seen of it: a Pod as itself, a machine outside masqueraded at
// a node port, an endpoint that reaches itself by its node's address (a hairpin), the node as itself.
func TestFrom(t *testing.T) {
	const pod = `
apiVersion: v1
kind: Pod
metadata: {name: job, namespace: shop}
spec: {containers: [], nodeName: one}
status: {podIP: 10.244.1.9, podIPs: [{ip: 10.244.1.9}]}
`
	for _, c := range []struct{ from, to, seen string }{
		{"10.244.1.20", "10.96.0.80:80", "10.244.1.20"},
		{"shop/job", "web:80", "10.244.1.9"}, // its namespace is shop: the short name is found
		{"10.244.2.20", "10.96.0.80:80", "10.244.2.20"},
		{"203.0.113.7", "192.168.8.11:30080", "192.168.8.11"},
		{"203.0.113.7", "10.96.0.80:80", "192.168.8.11"}, // from outside the cluster CIDR
		{"192.168.8.11", "10.96.0.80:80", "192.168.8.11"},
	} {
		t.Run(c.from, func(t *testing.T) {
			e := start(t, emulator.Options{From: c.from}, pod)
			for range 4 {
				if page := get(t, dial(t, e, c.to), "x"); !strings.Contains(page, "\nclient "+c.seen+":") {
					t.Errorf("to %s: %s", c.to, page)
				}
			}
		})
	}
	e := start(t, emulator.Options{From: "10.244.1.5"}, pod)
	hairpins := 0
	for range 30 {
		page := get(t, dial(t, e, "10.96.0.80:80"), "x")
		switch {
		case strings.Contains(page, "endpoint 10.244.1.5:") && strings.Contains(page, "\nclient 192.168.8.11:"):
			hairpins++
		case strings.Contains(page, "endpoint 10.244.2.5:") && strings.Contains(page, "\nclient 10.244.1.5:"):
		default:
			t.Errorf("from an endpoint: %s", page)
		}
	}
	if hairpins == 0 || hairpins == 30 {
		t.Errorf("%d of 30 came back", hairpins)
	}
	for _, bad := range []string{"0.0.0.0", "shop/none", "nobody", "/x", "224.0.0.1"} {
		s, err := run.Load([]input.Source{{Name: "world", Data: []byte(world)}, {Name: "pod", Data: []byte(pod)}}, run.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var in *emulator.InputError
		if e, err := emulator.New(s, emulator.Options{From: bad}); !errors.As(err, &in) {
			t.Errorf("from %q: %v", bad, err)
			if e != nil {
				e.Close()
			}
		}
	}
}

// TestBareDNS: without a Service of cluster DNS, the model's own server stands where kubelet sends Pods, and the user is told.
func TestBareDNS(t *testing.T) {
	docs := strings.Split(world, "\n---\n")
	var kept []string
	for _, d := range docs {
		if !strings.Contains(d, "kube-dns") {
			kept = append(kept, d)
		}
	}
	s, err := run.Load([]input.Source{{Name: "world", Data: []byte(strings.Join(kept, "\n---\n"))}}, run.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var said notes
	e, err := emulator.New(s, emulator.Options{Note: said.add})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if page := get(t, dial(t, e, "web.shop:80"), "x"); !strings.HasPrefix(page, "Pod shop/web-") {
		t.Error(page)
	}
	if !strings.Contains(said.String(), "no Service kube-system/kube-dns in the input") {
		t.Errorf("the user was told %q", said.String())
	}
}

// TestHostNetwork: an endpoint with the node's own address is served by the node's own stack.
func TestHostNetwork(t *testing.T) {
	const agent = `
apiVersion: v1
kind: Service
metadata: {name: agent, namespace: shop}
spec: {clusterIP: 10.96.0.95, clusterIPs: [10.96.0.95], ports: [{port: 80, protocol: TCP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: agent-1, namespace: shop, labels: {kubernetes.io/service-name: agent}}
addressType: IPv4
ports: [{port: 9100, protocol: TCP}]
endpoints:
- {addresses: [192.168.8.11], nodeName: one, conditions: {ready: true}}
- {addresses: [192.168.8.12], nodeName: two, conditions: {ready: true}}
`
	e := start(t, emulator.Options{}, agent)
	seen := podsOf(t, e, "10.96.0.95:80", 30)
	if seen["192.168.8.11:9100"] == 0 || seen["192.168.8.12:9100"] == 0 {
		t.Errorf("%v", seen)
	}
	// In ipvs mode the packet is given to a real server on the node itself.
	if _, err := e.SwitchMode("ipvs", false); err != nil {
		t.Fatal(err)
	}
	seen = podsOf(t, e, "10.96.0.95:80", 4)
	if seen["192.168.8.11:9100"] != 2 || seen["192.168.8.12:9100"] != 2 { // rr
		t.Errorf("ipvs: %v", seen)
	}
}

// TestDump: a dump has no Pods to bring to life.
func TestDump(t *testing.T) {
	s, err := run.Load([]input.Source{{Name: "dump", Data: []byte("*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n")}}, run.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var in *emulator.InputError
	if _, err := emulator.New(s, emulator.Options{}); !errors.As(err, &in) {
		t.Error(err)
	}
}

// TestUDPBackend: datagrams of every client reach the user's process from a socket of their own, and answers go back the same way.
func TestUDPBackend(t *testing.T) {
	p, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := p.ReadFrom(buf)
			if err != nil {
				return
			}
			p.WriteTo(append([]byte("mine: "), buf[:n]...), from)
		}
	}()
	defer p.Close()
	b, err := emulator.ParseBackend("shop/web:gram=udp://" + p.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	e := start(t, emulator.Options{Backends: []emulator.Backend{b}})
	for _, to := range []string{"10.96.0.80:7", "[fd00:96::80]:7"} {
		for i := range 3 {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			c, err := e.DialUDP(ctx, to)
			cancel()
			if err != nil {
				t.Fatal(err)
			}
			_ = c.SetDeadline(time.Now().Add(5 * time.Second))
			fmt.Fprintf(c, "%d", i)
			buf := make([]byte, 100)
			n, err := c.Read(buf)
			if want := fmt.Sprintf("mine: %d", i); err != nil || string(buf[:n]) != want {
				t.Errorf("%s: %q %v", to, buf[:n], err)
			}
			c.Close()
		}
	}
}
