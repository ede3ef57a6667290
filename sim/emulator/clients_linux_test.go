package emulator_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/emulator"
	"github.com/svclab/svclab/sim/input"
	"github.com/svclab/svclab/sim/replay"
	"github.com/svclab/svclab/sim/run"
	"github.com/svclab/svclab/sim/seed"
)

// outside runs a program of the machine, outside any namespace, and returns what it wrote.
func outside(t testing.TB, argv ...string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatalf("%q: %v", argv, err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// TestKernelCurl: curl through both proxies, as a user types it.
func TestKernelCurl(t *testing.T) {
	needKernel(t)
	tool(t, "curl")
	e := start(t, emulator.Options{})
	l, err := emulator.Listen("--http", "127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.ServeHTTP(l); err != nil {
		t.Fatal(err)
	}
	door, proxy := "socks5h://"+socksDoor(t, e), "http://"+l.Addr().String()
	for _, c := range []struct {
		argv string
		code int
		want string
	}{
		{"-x " + door + " http://web.shop.svc.cluster.local/", 0, "Pod shop/web-"},
		{"-x " + door + " http://[fd00:96::80]/", 0, "client [fd00:10:244:1:"},
		{"-x " + door + " http://192.168.8.11:30080/", 0, "client 192.168.8.11:"},
		{"-x " + proxy + " http://web.shop/", 0, "Pod shop/web-"},
		{"-p -x " + proxy + " http://web.shop/", 0, "Pod shop/web-"},
		{"--http2-prior-knowledge -x " + door + " http://10.96.0.80/", 0, "Pod shop/web-"},
		{"-x " + door + " http://example.com/", 97, "(4)"},
		{"-x " + door + " http://1.1.1.1/", 97, "(2)"},
		{"-x " + door + " http://10.96.0.81/", 97, "(5)"},
		{"-f -x " + proxy + " http://1.1.1.1/", 22, "403"},
		{"-x " + door + " -o /dev/stdout -w %{size_download} --output /dev/null http://10.96.0.80/bytes/50000000", 0, "50000000"},
	} {
		code, text := outside(t, append([]string{"curl", "-sS", "-m", "20"}, strings.Fields(c.argv)...)...)
		if code != c.code || !strings.Contains(text, c.want) {
			t.Errorf("curl %s: exit %d, want %d:\n%.300s", c.argv, code, c.code, text)
		}
	}
}

// TestKernelNames: dig and nc in a shell: cluster DNS over UDP and TCP, echoes over both.
func TestKernelNames(t *testing.T) {
	needKernel(t)
	tool(t, "dig")
	tool(t, "nc")
	e := start(t, emulator.Options{})
	for script, want := range map[string]string{
		"dig +short web.shop.svc.cluster.local":                   "10.96.0.80\n",
		"dig +short +tcp web.shop.svc.cluster.local":              "10.96.0.80\n",
		"dig +short AAAA web.shop.svc.cluster.local":              "fd00:96::80\n",
		"dig +short +search web.shop":                             "10.96.0.80\n",
		"dig +short SRV _http._tcp.web.shop.svc.cluster.local":    "0 50 80 ", // two cluster addresses of one target: half the weight each
		"dig +short -x 10.96.0.80":                                "web.shop.svc.cluster.local.\n",
		"dig example.com | grep -c NXDOMAIN":                      "1\n",
		"getent hosts web.shop":                                   "web.shop.svc.cluster.local",
		"printf 'over tcp\\n' | nc -N -w 5 10.96.0.80 80":         "over tcp\n",
		"printf 'over six\\n' | nc -N -w 5 fd00:96::80 80":        "over six\n",
		"printf 'over udp\\n' | nc -u -w 1 10.96.0.80 7":          "over udp\n",
		"printf 'udp, six\\n' | nc -u -w 1 fd00:96::80 7":         "udp, six\n",
		"nc -z -w 5 192.168.8.11 30080 && echo open":              "open\n",
		"nc -z -w 5 10.96.0.81 80 || echo refused":                "refused\n",
		"nc -z -w 5 1.1.1.1 53 || echo prohibited":                "prohibited\n",
		"cat < /dev/null > /tmp/svclab-emulator-test-$$; ls /tmp": "svclab-emulator-test", // the host's /tmp is seen
	} {
		if code, text := inShell(t, e, "/bin/sh", "-c", script); code != 0 || !strings.Contains(text, want) {
			t.Errorf("%s: exit %d\n%swant %q", script, code, text, want)
		}
	}
	left, _ := filepath.Glob("/tmp/svclab-emulator-test-*")
	for _, f := range left {
		os.Remove(f)
	}
}

// picks are the endpoints that the bare model picks for n first packets from a Pod to the web Service, drawing what the emulator draws.
func picks(t *testing.T, n int) map[string]int64 {
	t.Helper()
	s, err := run.Load([]input.Source{{Name: "world", Data: []byte(world)}}, run.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.Node.SetSource(seed.Root(1).Stream("up"))
	out := map[string]int64{}
	for i := range n {
		p := replay.FirstPacket(packet.TCP, netip.AddrPortFrom(netip.MustParseAddr("10.244.1.250"), uint16(40000+i)), netip.MustParseAddrPort("10.96.0.80:80"))
		if d := s.Node.Receive(0, "pod0", &p); d.Fate != datapath.Forwarded {
			t.Fatal(d.Fate)
		}
		out[p.Dst.String()]++
	}
	return out
}

var requests = regexp.MustCompile(`(\d+) requests in`)

// TestKernelWrk: connections that wrk keeps alive are spread as the model says of so many first packets with this seed, and in ipvs mode
// by turns; every request of a connection goes to its Pod.
func TestKernelWrk(t *testing.T) {
	needKernel(t)
	tool(t, "wrk")
	got := func(e *emulator.Emulator) (map[string]int64, int64) {
		list, err := e.Shares()
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]int64{}
		for _, s := range list {
			if s.To == "10.96.0.80:80" {
				for _, p := range s.Endpoints {
					out[p.Endpoint] = p.Connections
				}
				return out, s.Connections
			}
		}
		return nil, 0
	}
	for _, mode := range []string{"iptables", "ipvs"} {
		t.Run(mode, func(t *testing.T) {
			e := start(t, emulator.Options{})
			if mode == "ipvs" {
				if _, err := e.SwitchMode("ipvs", false); err != nil {
					t.Fatal(err)
				}
			}
			const connections = 32
			code, text := inShell(t, e, "wrk", "-t", "1", "-c", strconv.Itoa(connections), "-d", "2s", "http://10.96.0.80/")
			m := requests.FindStringSubmatch(text)
			if code != 0 || m == nil || strings.Contains(text, "errors") {
				t.Fatalf("wrk: exit %d\n%s", code, text)
			}
			shares, n := got(e)
			// wrk tries the address by one connection before it begins.
			if n != connections+1 {
				t.Errorf("%d connections, want %d", n, connections+1)
			}
			want := map[string]int64{"10.244.1.5:8080": (n + 1) / 2, "10.244.2.5:8080": n / 2}
			if mode == "iptables" {
				want = picks(t, int(n))
			}
			a, b := shares["10.244.1.5:8080"], shares["10.244.2.5:8080"]
			even := a == want["10.244.1.5:8080"] && b == want["10.244.2.5:8080"]
			if mode == "ipvs" { // which is first depends on the order in which kube-proxy added them
				even = a-b == 1 || b-a == 1
			}
			if !even {
				t.Errorf("%d and %d connections, want %v", a, b, want)
			}
			total, _ := strconv.Atoi(m[1])
			if total < 10*connections {
				t.Errorf("only %d requests", total)
			}
			t.Logf("%d requests over %d connections", total, n)
		})
	}
}

// TestKernelSwitch: kube-proxy changes its mode again and again while wrk runs: no connection that stands breaks, none is refused.
func TestKernelSwitch(t *testing.T) {
	needKernel(t)
	tool(t, "wrk")
	e := start(t, emulator.Options{})
	done := make(chan struct{})
	switches := 0
	go func() {
		defer close(done)
		for _, mode := range []service.Mode{service.ModeIPVS, service.ModeIPTables, service.ModeIPVS, service.ModeIPTables, service.ModeIPVS} {
			time.Sleep(500 * time.Millisecond)
			if _, err := e.SwitchMode(mode, false); err != nil {
				t.Error(err)
			}
			switches++
		}
	}()
	code, text := inShell(t, e, "wrk", "-t", "1", "-c", "16", "-d", "4s", "--timeout", "3s", "http://10.96.0.80/")
	<-done
	if code != 0 || strings.Contains(text, "errors") || strings.Contains(text, "Non-2xx") || requests.FindString(text) == "" {
		t.Errorf("wrk amid %d switches: exit %d\n%s", switches, code, text)
	}
}

// grpcVariable makes this test's program a gRPC client that asks for health at the address a hundred times.
const grpcVariable = "EMULATOR_TEST_GRPC"

func init() {
	if to := os.Getenv(grpcVariable); to != "" {
		if err := askHealth(to, nil); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("serving")
		os.Exit(0)
	}
}

// askHealth asks a gRPC server for its health a hundred times over one connection.
func askHealth(to string, dial func(context.Context, string) (net.Conn, error)) error {
	o := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	if dial != nil {
		o = append(o, grpc.WithContextDialer(dial))
	}
	c, err := grpc.NewClient("passthrough:///"+to, o...)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for range 100 {
		r, err := healthpb.NewHealthClient(c).Check(ctx, &healthpb.HealthCheckRequest{})
		if err != nil {
			return err
		}
		if r.Status != healthpb.HealthCheckResponse_SERVING {
			return fmt.Errorf("health is %s", r.Status)
		}
	}
	return nil
}

// TestKernelGRPC: a gRPC client reaches a gRPC server behind a Service, through SOCKS5 and in a shell. A hundred calls are one
// connection, which stays with one Pod.
func TestKernelGRPC(t *testing.T) {
	needKernel(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	healthpb.RegisterHealthServer(srv, health.NewServer())
	served := make(chan struct{})
	go func() {
		defer close(served)
		srv.Serve(l)
	}()
	defer func() { srv.Stop(); <-served }()
	b, err := emulator.ParseBackend("shop/web:http=tcp://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	e := open(t, emulator.Options{Backends: []emulator.Backend{b}})
	defer e.Close()
	door := socksDoor(t, e)
	err = askHealth("web.shop.svc.cluster.local:80", func(_ context.Context, to string) (net.Conn, error) {
		c, code := socks(t, door, 1, to)
		if c == nil {
			return nil, fmt.Errorf("SOCKS reply %d", code)
		}
		return c, nil
	})
	if err != nil {
		t.Errorf("through SOCKS5: %v", err)
	}
	t.Setenv(grpcVariable, "web.shop.svc.cluster.local:80")
	if code, text := inShell(t, e, os.Args[0]); code != 0 || text != "serving\n" {
		t.Errorf("in a shell: exit %d: %s", code, text)
	}
	list, err := e.Shares()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		if s.To == "10.96.0.80:80" && s.Connections+connectionsOf(list, "[fd00:96::80]:80") != 2 {
			t.Errorf("%d connections for two clients", s.Connections)
		}
	}
}

func connectionsOf(list []emulator.FrontShares, to string) int64 {
	for _, s := range list {
		if s.To == to && s.Proto == "tcp" {
			return s.Connections
		}
	}
	return 0
}

// TestKernelNginx: nginx stands behind a Service, and curl and wrk reach it.
func TestKernelNginx(t *testing.T) {
	needKernel(t)
	tool(t, "nginx")
	tool(t, "curl")
	tool(t, "wrk")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	conf := fmt.Sprintf(`daemon off; master_process off; pid nginx.pid; error_log stderr error;
events {}
http {
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server { listen %s; location / { return 200 "nginx for $host\n"; } }
}
`, at)
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	nginx := exec.Command("nginx", "-p", dir, "-c", "nginx.conf", "-e", "stderr")
	nginx.Stderr = &said
	if err := nginx.Start(); err != nil {
		t.Fatal(err)
	}
	defer nginx.Wait()
	defer nginx.Process.Kill()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if r, err := http.Get("http://" + at); err == nil {
			r.Body.Close()
			http.DefaultClient.CloseIdleConnections()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("nginx does not answer: %s", said.String())
		}
	}
	b, err := emulator.ParseBackend("shop/web:http=tcp://" + at)
	if err != nil {
		t.Fatal(err)
	}
	e := open(t, emulator.Options{Backends: []emulator.Backend{b}})
	defer e.Close()
	const page = "nginx for web.shop.svc.cluster.local\n"
	if _, text := outside(t, "curl", "-sS", "-m", "10", "-x", "socks5h://"+socksDoor(t, e), "http://web.shop.svc.cluster.local/"); text != page {
		t.Errorf("through SOCKS5: %s", text)
	}
	if code, text := inShell(t, e, "curl", "-sS", "-m", "10", "http://web.shop.svc.cluster.local/"); code != 0 || text != page {
		t.Errorf("in a shell: exit %d: %s", code, text)
	}
	if code, text := inShell(t, e, "wrk", "-t", "1", "-c", "8", "-d", "1s", "http://10.96.0.80/"); code != 0 || strings.Contains(text, "errors") || strings.Contains(text, "Non-2xx") {
		t.Errorf("wrk in a shell: exit %d: %s", code, text)
	}
}
