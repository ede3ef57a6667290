package kernel

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
)

// A restore text in pieces of two lines: the first piece of each table is loaded as the whole would be, chains come before
// rules as in the original, and no line is lost.
func TestChunk(t *testing.T) {
	text := "# a comment\n*nat\n:A - [0:0]\n:B - [0:0]\n-A A -j B\n-A B -j ACCEPT\n-A PREROUTING -j A\nCOMMIT\n*filter\nCOMMIT\n*mangle\n:C - [0:0]\nCOMMIT\n"
	want := []piece{
		{"*nat\n:A - [0:0]\n:B - [0:0]\nCOMMIT\n", true},
		{"*nat\n-A A -j B\n-A B -j ACCEPT\nCOMMIT\n", false},
		{"*nat\n-A PREROUTING -j A\nCOMMIT\n", false},
		{"*filter\nCOMMIT\n", true},
		{"*mangle\n:C - [0:0]\nCOMMIT\n", true},
	}
	one := func(string) int { return 1 }
	if got := chunk(text, 2, one); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if got := chunk("*nat\n-A A -j B\n", 2, one); len(got) != 1 || strings.Contains(got[0].text, "COMMIT") {
		t.Errorf("a text without COMMIT became %+v", got)
	}
	if fits(text, 5, one) || !fits(text, 6, one) {
		t.Error("six chains and rules weigh something else")
	}
	heavy := func(string) int { return 3 }
	if got := chunk("*nat\n:A - [0:0]\n-A A -j B\nCOMMIT\n", 2, heavy); len(got) != 2 || got[0].text != "*nat\n:A - [0:0]\nCOMMIT\n" {
		t.Errorf("lines that are too heavy alone became %+v", got)
	}
}

// TestNetlinkBytes: what a line is reckoned to be covers what iptables-nft 1.8.9 sent for it (strace of a hundred of each).
func TestNetlinkBytes(t *testing.T) {
	for line, sent := range map[string]int{
		":KUBE-SVC-AAAAAAAAAAAAAAAA - [0:0]":      88,
		"-A X -j Y":                               162,
		"-A X -s 10.244.1.1 -j Y":                 258,
		"-A X -p icmp -m icmp --icmp-type 8 -j Y": 294,
		"-A X -m statistic --mode random --probability 0.3333333333 -j Y":                                                        234,
		"-A X -m tcp -p tcp -j DNAT --to-destination 10.244.1.1:8080":                                                            334,
		"-A X -m conntrack --ctstate NEW -j Y":                                                                                   378,
		"-A X -m recent --name KUBE-SEP-AAAAAAAAAAAAAAAA --rcheck --seconds 10800 --reap -j Y":                                   438,
		`-A X -m comment --comment "a" -m comment --comment a -m comment --comment a -j Y`:                                       1062,
		`-A X -m comment --comment "default/svc-00001 cluster IP" -m tcp -p tcp -d 10.96.0.1 --dport 80 ! -s 10.244.0.0/16 -j Y`: 830,
	} {
		if got := netlinkBytes(line); got < sent {
			t.Errorf("%s: %d bytes, %d were sent", line, got, sent)
		}
	}
}

// A port rests for 120 s towards one destination, and the rig's choice goes round all of its ports before it gives up.
func TestPorts(t *testing.T) {
	now := time.Unix(0, 0)
	p := newPorts(func() time.Time { return now })
	f := &Flow{Proto: packet.TCP, Src: netip.MustParseAddrPort("10.0.0.1:0"), Dst: netip.MustParseAddrPort("10.96.0.1:80")}
	seen := map[uint16]bool{}
	for range lastPort - firstPort + 1 {
		port, err := p.take(f)
		if err != nil || seen[port] || port < firstPort {
			t.Fatalf("port %d, seen %v, error %v", port, seen[port], err)
		}
		seen[port] = true
	}
	var exhausted *PortsExhaustedError
	if _, err := p.take(f); !errors.As(err, &exhausted) {
		t.Errorf("one port too many: %v", err)
	}
	other := *f
	other.Dst = netip.MustParseAddrPort("10.96.0.2:80")
	if _, err := p.take(&other); err != nil {
		t.Errorf("another destination: %v", err)
	}
	given := *f
	given.Src = netip.MustParseAddrPort("10.0.0.1:20000")
	var reused *PortReusedError
	if _, err := p.take(&given); !errors.As(err, &reused) {
		t.Errorf("a port in use, asked for: %v", err)
	}
	now = now.Add(PortRest)
	if port, err := p.take(&given); err != nil || port != 20000 {
		t.Errorf("the same after its rest: %d, %v", port, err)
	}
	if _, err := p.take(f); err != nil {
		t.Errorf("any port after its rest: %v", err)
	}
}

func TestSplitWords(t *testing.T) {
	for _, c := range []struct {
		line string
		want []string
	}{
		{`-t nat -N KUBE-SERVICES`, []string{"-t", "nat", "-N", "KUBE-SERVICES"}},
		{`-m comment --comment "a \"quoted\" text" -j X`, []string{"-m", "comment", "--comment", `a "quoted" text`, "-j", "X"}},
		{`--comment 'a \b' ""`, []string{"--comment", `a \b`, ""}},
		{"  ", nil},
	} {
		got, err := splitWords(c.line)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %q, %v", c.line, got, err)
		}
	}
	if _, err := splitWords(`--comment "open`); err == nil {
		t.Error("an open quote is no error")
	}
}

type unknownOp struct{ datapath.Op }

func (unknownOp) Command() string { return "rm -rf /" }

type scriptOp struct{ datapath.Op }

func (scriptOp) Command() string { return "nft -f -" }
func (scriptOp) Stdin() string   { return "add table ip x\n" }

// What each operation becomes: the variant's program, --noflush after the first piece, and no program but the known ones.
func TestSteps(t *testing.T) {
	text := "*nat\n" + strings.Repeat("-A PREROUTING -j ACCEPT\n", batchBytes/ruleBytes+1) + "COMMIT\n"
	ops := []datapath.Op{
		datapath.IPTablesRestore{Family: packet.IPv6, Text: text, Counters: true},
		datapath.IPTablesExec{Family: packet.IPv4, Args: "-t nat -N X"},
		scriptOp{},
	}
	var got []string
	list, err := steps(ops, datapath.NFT, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		got = append(got, strings.Join(s.Argv, " "))
	}
	want := []string{
		"ip6tables-nft-restore -w 10 --counters", "ip6tables-nft-restore -w 10 --counters --noflush",
		"iptables-nft -w 10 -t nat -N X", "nft -f -",
	}
	if !reflect.DeepEqual(got, want) || list[3].Stdin == "" || list[1].Index != 0 || list[3].Index != 2 {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if list, err = steps(ops, datapath.Legacy, false); err != nil || len(list) != 3 || list[0].Stdin != text {
		t.Errorf("unchunked: %d steps, %v", len(list), err)
	}
	var unsupported *UnsupportedError
	var at *datapath.OpError
	if _, err := steps([]datapath.Op{ops[1], unknownOp{}}, datapath.Legacy, false); !errors.As(err, &unsupported) || !errors.As(err, &at) || at.Index != 1 {
		t.Errorf("an unknown program: %v", err)
	}
}

// The same rules in another spelling are no difference; each planted fault is one, at its place. Origin of the spellings:
// kube-proxy's own and iptables-save 1.8.9's.
func TestDifferences(t *testing.T) {
	given := "*nat\n:KUBE-SVC-A - [0:0]\n:KUBE-SEP-1 - [0:0]\n:KUBE-SEP-2 - [0:0]\n" +
		"-A KUBE-SVC-A -m comment --comment default/x -m statistic --mode random --probability 0.3333333333 -j KUBE-SEP-1\n" +
		"-A KUBE-SVC-A -s 10.0.0.1 -j KUBE-SEP-2\n-A KUBE-SVC-A -j KUBE-SEP-1\nCOMMIT\n*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"
	saved := "# Generated by iptables-save v1.8.9\n*nat\n:PREROUTING ACCEPT [5:300]\n:KUBE-SEP-1 - [0:0]\n:KUBE-SEP-2 - [0:0]\n:KUBE-SVC-A - [0:0]\n" +
		"[7:420] -A KUBE-SVC-A -m comment --comment \"default/x\" -m statistic --mode random --probability 0.33333333349 -j KUBE-SEP-1\n" +
		"[0:0] -A KUBE-SVC-A -s 10.0.0.1/32 -j KUBE-SEP-2\n[1:60] -A KUBE-SVC-A -j KUBE-SEP-1\nCOMMIT\n"
	same, err := Differences(given, saved, DifferenceOptions{})
	if err != nil || len(same) > 0 {
		t.Errorf("%v, %v", same, err)
	}
	for name, c := range map[string]struct {
		old, new string
		options  DifferenceOptions
		want     []string // chain and rule
	}{
		"a probability":  {"0.33333333349", "0.35000000009", DifferenceOptions{}, []string{"nat KUBE-SVC-A rule 1"}},
		"a rule missing": {"[0:0] -A KUBE-SVC-A -s 10.0.0.1/32 -j KUBE-SEP-2\n", "", DifferenceOptions{}, []string{"nat KUBE-SVC-A rule 2"}},
		"a chain more":   {":KUBE-SEP-1 - [0:0]\n", ":KUBE-SEP-1 - [0:0]\n:Z - [0:0]\n", DifferenceOptions{}, []string{"nat Z"}},
		"a policy":       {"COMMIT\n", "COMMIT\n*filter\n:FORWARD DROP [0:0]\nCOMMIT\n", DifferenceOptions{}, []string{"filter FORWARD"}},
		"rule counters":  {"x", "x", DifferenceOptions{Packets: true}, []string{"nat KUBE-SVC-A rule 1", "nat KUBE-SVC-A rule 3"}},
		"of policies":    {"x", "x", DifferenceOptions{Policies: true}, []string{"nat PREROUTING"}},
	} {
		got, err := Differences(given, strings.Replace(saved, c.old, c.new, 1), c.options)
		var at []string
		for _, d := range got {
			at = append(at, strings.SplitN(d.String(), ": ", 2)[0])
		}
		if err != nil || !reflect.DeepEqual(at, c.want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := Differences(given, "*nat\n-A", DifferenceOptions{}); err == nil {
		t.Error("half a rule is no error")
	}
}
