package emulator_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/svclab/svclab/sim/box"
	"github.com/svclab/svclab/sim/emulator"
	"github.com/svclab/svclab/sim/input"
	"github.com/svclab/svclab/sim/run"
)

func TestMain(m *testing.M) {
	box.Init()
	os.Exit(m.Run())
}

// world is a cluster of two nodes, the first of them local: web on both with names for its Pods, its sibling of the other family, an
// echo over UDP, cluster DNS with a Pod on either node.
const world = `
apiVersion: v1
kind: Node
metadata: {name: one}
spec: {podCIDRs: [10.244.1.0/24, "fd00:10:244:1::/64"]}
status: {addresses: [{type: InternalIP, address: 192.168.8.11}, {type: InternalIP, address: "fd00:8::11"}]}
---
apiVersion: v1
kind: Node
metadata: {name: two}
spec: {podCIDRs: [10.244.2.0/24, "fd00:10:244:2::/64"]}
status: {addresses: [{type: InternalIP, address: 192.168.8.12}, {type: InternalIP, address: "fd00:8::12"}]}
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
hostnameOverride: one
clusterCIDR: 10.244.0.0/16,fd00:10:244::/48
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: kube-system}
---
apiVersion: v1
kind: Namespace
metadata: {name: default}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  type: NodePort
  clusterIP: 10.96.0.80
  clusterIPs: [10.96.0.80, "fd00:96::80"]
  ipFamilies: [IPv4, IPv6]
  ports: [{name: http, port: 80, protocol: TCP, targetPort: 8080, nodePort: 30080}, {name: gram, port: 7, protocol: UDP, targetPort: 7777}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-4, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}, {name: gram, port: 7777, protocol: UDP}]
endpoints:
- {addresses: [10.244.1.5], nodeName: one, conditions: {ready: true}, targetRef: {kind: Pod, namespace: shop, name: web-a}}
- {addresses: [10.244.2.5], nodeName: two, conditions: {ready: true}, targetRef: {kind: Pod, namespace: shop, name: web-b}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-6, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv6
ports: [{name: http, port: 8080, protocol: TCP}, {name: gram, port: 7777, protocol: UDP}]
endpoints:
- {addresses: ["fd00:10:244:1::5"], nodeName: one, conditions: {ready: true}, targetRef: {kind: Pod, namespace: shop, name: web-a}}
- {addresses: ["fd00:10:244:2::5"], nodeName: two, conditions: {ready: true}, targetRef: {kind: Pod, namespace: shop, name: web-b}}
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec:
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10]
  ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kube-dns-4, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}
addressType: IPv4
ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
endpoints:
- {addresses: [10.244.1.2], nodeName: one, conditions: {ready: true}}
- {addresses: [10.244.2.2], nodeName: two, conditions: {ready: true}}
---
apiVersion: v1
kind: Service
metadata: {name: empty, namespace: shop}
spec: {clusterIP: 10.96.0.81, clusterIPs: [10.96.0.81], ports: [{port: 80, protocol: TCP}]}
`

// start brings the world to life and lets it end with the test, without a goroutine left.
func start(t testing.TB, o emulator.Options, more ...string) *emulator.Emulator {
	t.Helper()
	e := open(t, o, more...)
	t.Cleanup(func() { goleak.VerifyNone(t, ignored...) })
	t.Cleanup(e.Close)
	return e
}

// ignored are goroutines of the test's own machinery.
var ignored = []goleak.Option{goleak.IgnoreTopFunction("testing.(*T).Parallel"), goleak.IgnoreTopFunction("testing.(*B).run1")}

func open(t testing.TB, o emulator.Options, more ...string) *emulator.Emulator {
	t.Helper()
	sources := []input.Source{{Name: "world", Data: []byte(world)}}
	for i, m := range more {
		sources = append(sources, input.Source{Name: fmt.Sprintf("more-%d", i), Data: []byte(m)})
	}
	s, err := run.Load(sources, run.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	e, err := emulator.New(s, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// socksDoor opens a SOCKS5 door and returns its address.
func socksDoor(t testing.TB, e *emulator.Emulator) string {
	t.Helper()
	l, err := emulator.Listen("--socks", "127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.ServeSOCKS(l); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// socks asks a SOCKS5 server for something (RFC 1928), and returns the connection, or the reply code and nil.
func socks(t testing.TB, server string, command byte, to string) (net.Conn, byte) {
	t.Helper()
	c, err := net.Dial("tcp", server)
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(to)
	q := []byte{5, 1, 0, 5, command, 0}
	switch a, err := netip.ParseAddr(host); {
	case err != nil:
		q = append(append(q, 3, byte(len(host))), host...)
	case a.Is4():
		q = append(append(q, 1), a.AsSlice()...)
	default:
		q = append(append(q, 4), a.AsSlice()...)
	}
	var n uint16
	fmt.Sscan(port, &n)
	q = binary.BigEndian.AppendUint16(q, n)
	var head [6]byte
	if _, err := c.Write(q); err == nil {
		_, err = io.ReadFull(c, head[:])
		if err != nil {
			c.Close()
			t.Fatalf("%s: %v", to, err)
		}
	}
	rest := make([]byte, map[byte]int{1: 4, 4: 16}[head[5]]+2)
	io.ReadFull(c, rest)
	if head[3] != 0 {
		c.Close()
		return nil, head[3]
	}
	return c, 0
}

// get asks a Pod for a page over an open connection, and returns it.
func get(t testing.TB, c net.Conn, host string) string {
	t.Helper()
	defer c.Close()
	fmt.Fprintf(c, "GET /x HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host)
	b, err := io.ReadAll(bufio.NewReader(c))
	if err != nil {
		t.Fatalf("%s: %v", host, err)
	}
	_, page, ok := strings.Cut(string(b), "\r\n\r\n")
	if !ok || !strings.HasPrefix(string(b), "HTTP/1.1 200") {
		t.Fatalf("%s: %s", host, b)
	}
	return page
}

// dial opens a connection as the client does.
func dial(t testing.TB, e *emulator.Emulator, to string) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := e.Dial(ctx, to)
	if err != nil {
		t.Fatalf("%s: %v", to, err)
	}
	return c
}

// notes gathers what an emulator tells its user.
type notes struct {
	mu   sync.Mutex
	list []string
}

func (n *notes) add(s string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, s)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.list, "\n")
}
