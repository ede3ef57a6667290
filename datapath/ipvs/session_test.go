package ipvs

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// session returns what a command of the captured session printed, by the command's words.
func session(t *testing.T) (commands []string, printed map[string]string) {
	t.Helper()
	b, err := os.ReadFile("testdata/session.txt")
	if err != nil {
		t.Fatal(err)
	}
	printed = map[string]string{}
	last := ""
	for line := range strings.Lines(string(b)) {
		switch {
		case strings.HasPrefix(line, "+ "):
			last = strings.TrimSpace(line[2:])
			commands = append(commands, last)
		case last != "" && !strings.HasPrefix(line, "== ") && !strings.HasPrefix(line, "IPVS:"):
			printed[last] += line
		}
	}
	return commands, printed
}

// sessionTable runs the session's commands before the first listing.
func sessionTable(t *testing.T) (*Table, map[string]string) {
	commands, printed := session(t)
	tab := NewTable(DefaultSysctls())
	twice := false
	for _, line := range commands {
		if strings.HasPrefix(line, "echo") {
			break
		}
		said := printed[line]
		if line == "ipvsadm -A -t 10.9.0.1:80 -s rr" && !twice { // the session says it a second time later
			said, twice = "", true
		}
		c, err := ParseCommand(line)
		if err == nil {
			err = tab.Run(c)
		}
		switch {
		case strings.Contains(line, "gue"): // the one server that is refused here and not there
			if !errors.Is(err, ErrNotModelled) {
				t.Errorf("%s: %v, want not modelled", line, err)
			}
		case (err != nil) != (said != "" || strings.Contains(line, "-y 6")):
			t.Errorf("%s: %v, the kernel or ipvsadm said %q", line, err, said)
		}
	}
	// Which services ipvsadm puts first depends on the kernel's order where addresses compare in a circle.
	d, err := ParseProcServices("ip_vs", printed["cat /proc/net/ip_vs"], 100)
	if err != nil {
		t.Fatal(err)
	}
	tab.list = tab.list[:0]
	for _, s := range d.Services {
		tab.list = append(tab.list, tab.services[s.Key])
	}
	return tab, printed
}

// withoutGUE drops the server that the model refuses.
func withoutGUE(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		if !strings.Contains(line, "10.2.0.10:80") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func compareText(t *testing.T, name, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		a, b := "", ""
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			t.Fatalf("%s: line %d\n got %q\nwant %q", name, i+1, a, b)
		}
	}
}

// Expectation: the capture in testdata/session.txt.
func TestListingsAreThoseOfIpvsadm(t *testing.T) {
	tab, printed := sessionTable(t)
	for _, c := range []struct {
		command string
		view    ListFormat
	}{
		{"ipvsadm -L -n --stats", ListStats},
		{"ipvsadm -L -n --rate", ListRate},
		{"ipvsadm -L -n --thresholds", ListThresholds},
		{"ipvsadm -L -n --persistent-conn", ListPersistence},
	} {
		compareText(t, c.command, tab.List(c.view), withoutGUE(printed[c.command]))
	}
	first, _, _ := strings.Cut(printed["ipvsadm -L -n"][1:], "IP Virtual")
	compareText(t, "ipvsadm -L -n", tab.List(ListServers), withoutGUE(printed["ipvsadm -L -n"][:1]+first))
	compareText(t, "ipvsadm -S -n", PrintSave(tab.Save()), withoutGUE(printed["ipvsadm -S -n"]))
}

// Expectation: the same capture.
func TestTheKernelKeepsServersNewestFirst(t *testing.T) {
	tab, printed := sessionTable(t)
	d, err := ParseProcServices("ip_vs", printed["cat /proc/net/ip_vs"], 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range d.Services {
		have := tab.Service(s.Key)
		if have == nil {
			t.Fatalf("no service %s", s.Key)
		}
		if got, want := have.Persistence, s.Persistence; got != want {
			t.Errorf("%s: persistence %v, want %v", s.Key, got, want)
		}
		if have.MaskBits != s.MaskBits || have.OnePacket != s.OnePacket || have.Scheduler != s.Scheduler {
			t.Errorf("%s: %+v, want %+v", s.Key, have.ServiceConfig, s.ServiceConfig)
		}
		var want []netip.AddrPort
		for _, x := range s.Servers {
			if x.Addr != netip.MustParseAddrPort("10.2.0.10:80") {
				want = append(want, x.Addr)
			}
		}
		ds := have.Destinations()
		if len(ds) != len(want) {
			t.Fatalf("%s: %d servers, want %d", s.Key, len(ds), len(want))
		}
		for i, x := range ds {
			if x.Addr != want[i] {
				t.Errorf("%s: server %d is %s, want %s", s.Key, i, x.Addr, want[i])
			}
		}
	}
}

type everywhere struct{ local map[netip.Addr]bool }

func (e everywhere) AddrType(a netip.Addr, _ string) netfilter.AddrType {
	if e.local[a] {
		return netfilter.Local
	}
	return netfilter.Unicast
}
func (everywhere) OutputInterface(netip.Addr) string               { return "eth0" }
func (everywhere) SourceAddress(string, netip.Addr) (a netip.Addr) { return a }
func (everywhere) Chance(uint32) bool                              { return false }
func (everywhere) Intn(int) int                                    { return 0 }

func clientWalk() *netfilter.Walk {
	return &netfilter.Walk{Hook: netfilter.Input, In: "eth0", Route: everywhere{}, Source: everywhere{}}
}

// Expectation: the same capture, whose script sent these SYNs and one datagram in this order.
func TestEntriesAreThoseOfTheKernel(t *testing.T) {
	tab, printed := sessionTable(t)
	w := clientWalk()
	ap := netip.MustParseAddrPort
	send := func(p packet.Protocol, src, dst string, mark uint32) Result {
		k := packet.Packet{Src: ap(src), Dst: ap(dst), Proto: p, TCPFlags: packet.SYN, Mark: mark, LengthBytes: 60}
		return tab.Request(w, &k)
	}
	// The rr service had a tenth server there, which took the first connection.
	if err := tab.AddDestination(AddressService(packet.TCP, ap("10.9.0.1:80")), DestinationConfig{Addr: ap("10.2.0.10:80"), Weight: 1, Forward: Tunnel}); err != nil {
		t.Fatal(err)
	}
	send(packet.UDP, "10.9.0.9:4000", "10.9.0.1:53", 0)
	send(packet.TCP, "10.9.0.9:4001", "10.9.0.1:80", 0)
	send(packet.TCP, "10.9.0.9:4011", "10.9.0.1:80", 0)
	send(packet.TCP, "10.9.0.9:4003", "192.168.7.7:443", 0)
	send(packet.TCP, "10.9.0.9:4005", "10.9.77.77:80", 7)
	send(packet.TCP, "[fd00::1]:4002", "[fd00:1:2:3:4:5:6:7]:8080", 0)
	for _, refused := range [][2]string{{"10.9.0.9:4007", "10.9.0.1:1234"}, {"[fd00::1]:4002", "[fd00::1]:80"}, {"10.9.0.9:4008", "127.0.0.1:443"}} {
		if r := send(packet.TCP, refused[0], refused[1], 0); r.Verdict != netfilter.Reject {
			t.Errorf("%v: %v, want a refusal", refused, r.Verdict)
		}
	}
	want, err := ParseProcConns("ip_vs_conn", printed["cat /proc/net/ip_vs_conn"])
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseList("-Lnc", printed["ipvsadm -L -n -c"])
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Conns) != len(want.Conns) || len(want.Conns) != len(tab.Conns()) {
		t.Fatalf("%d and %d entries read, %d in the model", len(again.Conns), len(want.Conns), len(tab.Conns()))
	}
	have := map[DumpConn]bool{}
	for _, c := range tab.Conns() {
		have[DumpConn{Proto: c.Proto, Client: c.Client, Virtual: c.Virtual, Server: c.Server, State: c.StateName()}] = true
	}
	for i, c := range want.Conns {
		if d := c.Left - again.Conns[i].Left; d < -time.Second || d > time.Second {
			t.Errorf("expire %v in /proc, %v in ipvsadm", c.Left, again.Conns[i].Left)
		}
		c.Left = 0
		if c.Proto == 0 { // /proc shows a mark as it shows an address
			c.Virtual = ap("0.0.0.7:0")
		}
		if !have[c] {
			t.Errorf("no entry %+v", c)
		}
		again.Conns[i].Left = 0
		if again.Conns[i] != c {
			t.Errorf("ipvsadm has %+v, /proc has %+v", again.Conns[i], c)
		}
	}
	second := printed["ipvsadm -L -n"]
	second = second[strings.LastIndex(second, "IP Virtual"):]
	compareText(t, "ipvsadm -L -n after", tab.List(ListServers), second)
}

// Expectation: the capture; ipvsadm without -n prints names.
func TestAListingWithNamesExplainsN(t *testing.T) {
	_, printed := session(t)
	_, err := ParseList("paste", printed["ipvsadm -L"])
	var pe *ParseError
	if !errors.As(err, &pe) || !errors.Is(err, ErrNames) || pe.Line != 4 || !strings.Contains(err.Error(), "-n") {
		t.Fatalf("%v", err)
	}
	if _, err := ParseSave("paste", "-A -t localhost:https -s rr\n"); !errors.Is(err, ErrNames) {
		t.Fatalf("%v", err)
	}
}
