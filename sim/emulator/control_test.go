package emulator_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/emulator"
)

var shopWeb = service.Name{Namespace: "shop", Name: "web"}

// control opens a control socket and returns a client of it.
func control(t testing.TB, e *emulator.Emulator, stop func()) func(method, path string) (int, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ctl.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.ServeControl(l, stop); err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return func(method, p string) (int, string) {
		t.Helper()
		q, err := http.NewRequest(method, "http://svclab"+p, nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := (&http.Client{Transport: tr, Timeout: 10 * time.Second}).Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, _ := io.ReadAll(r.Body)
		return r.StatusCode, string(b)
	}
}

// podsOf is who answers n new connections to an address, by the line that names the Pod.
func podsOf(t testing.TB, e *emulator.Emulator, to string, n int) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for range n {
		page := get(t, dial(t, e, to), "x")
		_, rest, _ := strings.Cut(page, "endpoint ")
		at, _, _ := strings.Cut(rest, " ")
		seen[at]++
	}
	return seen
}

// TestEndpoints: endpoints come, go, and change by control, and connections follow. An added endpoint has a Pod that answers, a removed
// one is gone: its Pod does not answer any more.
func TestEndpoints(t *testing.T) {
	e := start(t, emulator.Options{})
	ask := control(t, e, func() {})
	post := func(query string, want int) string {
		t.Helper()
		code, text := ask("POST", "/endpoint?"+query)
		if code != want {
			t.Errorf("%s: %d %s", query, code, text)
		}
		return text
	}
	post("verb=unready&address=10.244.1.5", 200)
	if got := podsOf(t, e, "10.96.0.80:80", 10); got["10.244.2.5:8080"] != 10 {
		t.Errorf("with one unready: %v", got)
	}
	post("verb=ready&address=10.244.1.5&service=shop/web", 200)
	post("verb=add&address=10.244.2.77&service=shop/web", 200)
	if got := podsOf(t, e, "10.96.0.80:80", 60); len(got) != 3 { // one of three misses by a chance of 3·(2/3)^60
		t.Errorf("with three: %v", got)
	}
	if got := podsOf(t, e, "10.244.2.77:8080", 1); got["10.244.2.77:8080"] != 1 {
		t.Errorf("asked for the new Pod itself: %v", got)
	}
	// Headless names, and those of Pods, follow as well; here the shares do.
	shares, err := e.Shares()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range shares {
		if s.To == "10.96.0.80:80" && (s.Connections != 70 || len(s.Endpoints) != 3 || s.Service != "shop/web:http") {
			t.Errorf("shares: %+v", s)
		}
	}
	post("verb=remove&address=10.244.2.77", 200)
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if _, err := e.Dial(ctx, "10.244.2.77:8080"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a removed Pod: %v", err)
	}
	post("verb=add&address=10.244.2.77&service=shop/web", 200) // it comes back
	if got := podsOf(t, e, "10.244.2.77:8080", 1); got["10.244.2.77:8080"] != 1 {
		t.Errorf("a Pod that came back: %v", got)
	}
	text := post("verb=add&service=shop/web", 200) // a free address of the local node
	a, err := netip.ParseAddr(strings.Fields(text)[0])
	if err != nil || !netip.MustParsePrefix("10.244.1.0/24").Contains(a) {
		t.Errorf("a free address: %q", text)
	}
	for query, says := range map[string]string{
		"verb=remove&address=10.244.9.9":                       "is no endpoint; these are: 10.244.1.2, ",
		"verb=add&address=10.244.1.5&service=shop/web":         "already",
		"verb=add&address=10.244.1.9":                          "Service shop/web", // several have slices: none is meant
		"verb=add&address=10.244.1.9&service=shop/none":        "has no EndpointSlice",
		"verb=add&address=10.244.1.9&service=web":              "is not NS/NAME",
		"verb=add&address=nine&service=shop/web":               "is not an IP address",
		"verb=remove":                                          "which endpoint?",
		"verb=paint&address=10.244.1.5":                        "is not known",
		"verb=add&address=fd00:10:244:1::5&service=shop/empty": "has no EndpointSlice of ipv6",
	} {
		if says == "Service shop/web" { // one Service with slices beside cluster DNS: it is meant
			post(query, 200)
			continue
		}
		if text := post(query, 400); !strings.Contains(text, says) {
			t.Errorf("%s: %q, want %q", query, text, says)
		}
	}
}

// TestModes: kube-proxy is restarted in another mode; connections that stand go on, as the kernel keeps them, new ones take the new way.
func TestModes(t *testing.T) {
	e := start(t, emulator.Options{})
	ask := control(t, e, func() {})
	type held struct {
		net.Conn
		r   *bufio.Reader
		who string
	}
	var standing []held
	hold := func() {
		c := dial(t, e, "10.96.0.80:80")
		t.Cleanup(func() { c.Close() })
		h := held{Conn: c, r: bufio.NewReader(c)}
		fmt.Fprintln(c, "hello")
		h.who, _ = h.r.ReadString('\n')
		if said, err := h.r.ReadString('\n'); err != nil || said != "hello\n" {
			t.Fatalf("echo: %q %v", said, err)
		}
		standing = append(standing, h)
	}
	goesOn := func(when string) {
		t.Helper()
		for i, h := range standing {
			_ = h.SetDeadline(time.Now().Add(5 * time.Second))
			fmt.Fprintf(h, "%s\n", when)
			if said, err := h.r.ReadString('\n'); err != nil || said != when+"\n" {
				t.Errorf("%s, connection %d to %s: %q %v", when, i, strings.TrimSpace(h.who), said, err)
			}
		}
	}
	for range 8 {
		hold()
	}
	for _, mode := range []string{"ipvs", "iptables", "ipvs"} {
		if code, text := ask("POST", "/mode?mode="+mode); code != 200 || !strings.Contains(text, "Using "+mode+" Proxier") {
			t.Fatalf("%s: %d %s", mode, code, text)
		}
		goesOn(mode)
		for range 4 {
			hold()
		}
		goesOn(mode + ", with more")
		if e.Status().Mode != mode {
			t.Errorf("mode %s, want %s", e.Status().Mode, mode)
		}
	}
	if _, text := ask("GET", "/ipvs"); !strings.Contains(text, "TCP  10.96.0.80:80") || !strings.Contains(text, "InBytes") {
		t.Errorf("ipvs:\n%s", text)
	}
	if _, text := ask("GET", "/ipvs?view=servers"); !strings.Contains(text, "10.244.1.5:8080") || !strings.Contains(text, "Masq") {
		t.Errorf("ipvs servers:\n%s", text)
	}
	if text, err := e.IPVS("", ipvs.ListConns); err != nil || !strings.Contains(text, "ESTABLISHED") {
		t.Errorf("ipvs connections:\n%s", text)
	}
	for query, code := range map[string]int{"mode=nftables": 400, "mode=": 400, "mode=userspace": 400} {
		if got, text := ask("POST", "/mode?"+query); got != code {
			t.Errorf("%s: %d %s", query, got, text)
		}
	}
	// With kube-proxy --cleanup in between, no virtual server is left.
	if code, text := ask("POST", "/mode?mode=iptables&cleanup=1"); code != 200 {
		t.Errorf("%d %s", code, text)
	}
	if _, text := ask("GET", "/ipvs"); strings.Contains(text, "10.96.0.80") {
		t.Errorf("after a clean-up:\n%s", text)
	}
	podsOf(t, e, "10.96.0.80:80", 4)
}

// TestShown: rules with live counters, connections, status, shares, as the tools of a node show them.
func TestShown(t *testing.T) {
	e := start(t, emulator.Options{})
	stopped := make(chan struct{})
	ask := control(t, e, func() { close(stopped) })
	podsOf(t, e, "10.96.0.80:80", 10)
	_, rules := ask("GET", "/rules")
	if !strings.Contains(rules, "[10:600] -A KUBE-SERVICES -d 10.96.0.80/32 ") { // ten SYNs of 60 bytes
		t.Errorf("rules:\n%s", rules)
	}
	if _, six := ask("GET", "/rules?family=ipv6"); !strings.Contains(six, "-d fd00:96::80/128") {
		t.Errorf("rules of IPv6:\n%s", six)
	}
	if _, list := ask("GET", "/conntrack"); strings.Count(list, "dst=10.96.0.80") != 10 {
		t.Errorf("connections:\n%s", list)
	}
	code, text := ask("GET", "/status?output=json")
	var s emulator.Status
	if err := json.Unmarshal([]byte(text), &s); err != nil || code != 200 || s.Kind != "EmulatorStatus" || s.Mode != "iptables" || s.Node != "one" || s.Services != 3 || s.Tracked < 10 {
		t.Errorf("status: %v %s", err, text)
	}
	_, text = ask("GET", "/shares?output=json")
	var shares struct {
		Kind   string
		Fronts []emulator.FrontShares
	}
	if err := json.Unmarshal([]byte(text), &shares); err != nil || shares.Kind != "EmulatorShares" {
		t.Errorf("shares: %v %s", err, text)
	}
	for _, f := range shares.Fronts {
		if f.To == "10.96.0.80:80" && (f.Connections != 10 || f.Endpoints[0].Probability != "1/2" || f.Endpoints[1].Probability != "1/2") {
			t.Errorf("shares: %+v", f)
		}
	}
	for path, want := range map[string]int{"/rules?family=ipx": 400, "/ipvs?view=all": 400, "/status?output=xml": 400, "/nothing": 404} {
		if code, text := ask("GET", path); code != want {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
	if code, _ := ask("POST", "/stop"); code != 200 {
		t.Errorf("stop: %d", code)
	}
	select {
	case <-stopped:
	case <-time.After(5 * time.Second):
		t.Error("stop does not stop")
	}
}

// TestFollow: each packet is a line that names the rules that took part; a follower that does not read misses packets, and is told
// how many.
func TestFollow(t *testing.T) {
	e := start(t, emulator.Options{})
	f := e.Follow(false)
	podsOf(t, e, "10.96.0.80:80", 1)
	line := <-f.Lines
	for _, want := range []string{" pod0 tcp 10.244.1.254:", " > 10.96.0.80:80 [SYN] 60B: NEW nat/PREROUTING#1 nat/KUBE-SERVICES#", " nat/KUBE-SVC-", " nat/KUBE-SEP-", " to 10.244.", ":8080 forward "} {
		if !strings.Contains(line, want) {
			t.Errorf("%q misses %q", line, want)
		}
	}
	answer := <-f.Lines
	if !strings.Contains(answer, "[SYN,ACK]") || !strings.Contains(answer, ": ESTABLISHED ") || !strings.Contains(answer, " from 10.96.0.80:80 ") {
		t.Errorf("answer: %q", answer)
	}
	f.Close()

	slow := e.Follow(true)
	defer slow.Close()
	podsOf(t, e, "10.96.0.80:80", 150) // some 10 packets each, more than the 1,024 that wait
	lines, dropped := 0, 0
	for {
		select {
		case line := <-slow.Lines:
			lines++
			if rest, ok := strings.CutPrefix(line, "… "); ok {
				fmt.Sscan(rest, &dropped)
			}
			continue
		default:
		}
		if dropped > 0 {
			break
		}
		podsOf(t, e, "10.96.0.80:80", 1) // the next packet brings the news
	}
	if lines < 1024 || dropped < 100 {
		t.Errorf("%d lines, %d missed", lines, dropped)
	}
	if text, err := e.Rules("one", packet.IPv4); err != nil || !strings.Contains(text, "*nat") {
		t.Errorf("rules: %v", err)
	}
}

// TestBadEndings: an emulator that has ended answers with that.
func TestBadEndings(t *testing.T) {
	e := open(t, emulator.Options{})
	e.Close()
	e.Close()
	if _, err := e.ChangeEndpoint(emulator.EndpointChange{Verb: emulator.Add, Service: shopWeb}); !errors.Is(err, emulator.ErrClosed) {
		t.Error(err)
	}
	if _, err := e.SwitchMode(service.ModeIPVS, false); !errors.Is(err, emulator.ErrClosed) {
		t.Error(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := e.ServeSOCKS(l); !errors.Is(err, emulator.ErrClosed) {
		t.Error(err)
	}
	if _, ok := <-e.Follow(false).Lines; ok {
		t.Error("a line of an emulator that has ended")
	}
}
