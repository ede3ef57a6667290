package conntrack

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// Pastes from public issue threads (testdata/listing): every line is an entry, and the tool's form prints it back.
func TestListingPastes(t *testing.T) {
	files, _ := filepath.Glob("testdata/listing/*.txt")
	if len(files) != 2 {
		t.Fatalf("%d files", len(files))
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := Parse(f, string(b))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		if len(entries) != len(lines) {
			t.Fatalf("%s: %d entries of %d lines", f, len(entries), len(lines))
		}
		for i, e := range entries {
			if got, want := string(e.Append(nil, FormTool)), strings.TrimSpace(lines[i]); got != want {
				t.Errorf("%s:%d:\n got %s\nwant %s", f, i+1, got, want)
			}
		}
	}
}

// The two entries of the second paste have one original tuple: they are of two moments, and one table takes only one.
func TestListingOfTwoMoments(t *testing.T) {
	b, err := os.ReadFile("testdata/listing/02-blackhole.txt")
	if err != nil {
		t.Fatal(err)
	}
	entries, _ := Parse("paste", string(b))
	tb := NewTable(DefaultConfig())
	c, err := tb.Insert(0, entries[0], nil)
	if err != nil || !c.IsDNAT() {
		t.Fatal(err)
	}
	if _, err := tb.Insert(0, entries[1], nil); !errors.Is(err, ErrExists) {
		t.Errorf("second entry: %v", err)
	}
}

// Forms of lines as the kernel and the tool print them (nf_conntrack_standalone.c; conntrack-tools), written by hand.
func TestListingForms(t *testing.T) {
	for _, tc := range []struct{ proc, tool string }{
		{
			"ipv4     2 tcp      6 431999 ESTABLISHED src=10.1.0.1 dst=10.9.10.1 sport=5001 dport=80 src=10.2.0.1 dst=10.1.0.1 sport=8080 dport=5001 [ASSURED] mark=16384 zone=0 use=2",
			"tcp      6 431999 ESTABLISHED src=10.1.0.1 dst=10.9.10.1 sport=5001 dport=80 src=10.2.0.1 dst=10.1.0.1 sport=8080 dport=5001 [ASSURED] mark=16384 use=1",
		},
		{
			"ipv6     10 sctp     132 3 COOKIE_WAIT src=fd00:0000:0000:0000:0000:0000:0000:0001 dst=fd00:0000:0000:0000:0000:0000:0000:0002 sport=1 dport=2 src=fd00:0000:0000:0000:0000:0000:0000:0002 dst=fd00:0000:0000:0000:0000:0000:0000:0001 sport=2 dport=1 mark=0 zone=0 use=2",
			"sctp     132 3 COOKIE_WAIT src=fd00::1 dst=fd00::2 sport=1 dport=2 src=fd00::2 dst=fd00::1 sport=2 dport=1 mark=0 use=1",
		},
		{
			"ipv4     2 icmp     1 29 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=7 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 type=0 code=0 id=7 mark=0 zone=0 use=2",
			"icmp     1 29 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=7 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 type=0 code=0 id=7 mark=0 use=1",
		},
		{
			"ipv4     2 unknown  47 599 src=10.0.0.1 dst=10.0.0.2 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 mark=0 zone=0 use=2",
			"unknown  47 599 src=10.0.0.1 dst=10.0.0.2 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 mark=0 use=1",
		},
	} {
		a, err := Parse("proc", tc.proc)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Parse("tool", tc.tool+"\r\nconntrack v1.4.7 (conntrack-tools): 1 flow entries have been shown.\n")
		if err != nil || len(b) != 1 || a[0] != b[0] {
			t.Fatalf("%v: %v and %v", err, a, b)
		}
		if got := a[0].String(); got != tc.proc {
			t.Errorf("\n got %s\nwant %s", got, tc.proc)
		}
		if got := string(a[0].Append(nil, FormTool)); got != tc.tool {
			t.Errorf("\n got %s\nwant %s", got, tc.tool)
		}
	}
}

func TestListingErrors(t *testing.T) {
	const good = "udp 17 30 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1 mark=0\n"
	for _, tc := range []struct{ line, want string }{
		{"udp", "too short"},
		{"udp 6 30 src=10.0.0.1", "protocol name and number"},
		{"udp x 30", "protocol number expected"},
		{"udp 17 -1 src=10.0.0.1", "seconds to live"},
		{"tcp 6 30 OPEN src=10.0.0.1", "unknown state"},
		{"ipv4 10 udp 17 30", "address family"},
		{"udp 17 30 src=10.0.0.999 dst=10.0.0.2", "address expected"},
		{"udp 17 30 src=10.0.0.1 dst=10.0.0.2 sport=70000", "16 bits"},
		{"udp 17 30 src=10.0.0.1 dst=10.0.0.2 sport=1", "lacks sport= or dport="},
		{"udp 17 30 src=10.0.0.1 dst=fd00::1 sport=1 dport=2", "two families"},
		{"udp 17 30 src=10.0.0.1 src=10.0.0.2 src=10.0.0.3", "more than two directions"},
		{"udp 17 30 src=10.0.0.1 dst=10.0.0.2 dst=10.0.0.3", "given twice"},
		{"udp 17 30 sport=1 src=10.0.0.1", "not understood"},
		{"udp 17 30 [WHAT] src=10.0.0.1", "not understood"},
		{"udp 17 30 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 zone=3", "zones"},
		{"udp 17 30 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 [OFFLOAD]", "offloaded"},
		{"ipv6 10 udp 17 30 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1", "two families"},
	} {
		_, err := Parse("x.txt", good+tc.line)
		var pe *ParseError
		if !errors.As(err, &pe) || pe.Line != 2 || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "x.txt:2: ") {
			t.Errorf("%q: %v", tc.line, err)
		}
	}
	_, err := Parse("x.txt", strings.Repeat("a", 1<<20))
	if err == nil || len(err.Error()) > 300 {
		t.Errorf("a long line is quoted in full")
	}
}

// Whatever is read prints back to the same entry, and nothing panics.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"udp 17 30 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1 mark=0", // the plain case
		"ipv6 10 icmpv6 58 9 src=fd00::1 dst=fd00::2 type=128 code=0 id=7 src=fd00::2 dst=fd00::1 type=129 code=0 id=7",    // identifiers in place of ports
		"tcp 6 4294967295 LISTEN src=::ffff:1.2.3.4 dst=::1 sport=1 dport=2 src=::1 dst=::2 sport=2 dport=1",               // longest life, mapped address, old state name
		"unknown 255 0 src=1.1.1.1 dst=2.2.2.2 src=2.2.2.2 dst=1.1.1.1",                                                    // no ports
		"conntrack v1.4.7 (conntrack-tools): 1 flow entries", "tcp 6 1 [", "= = =", "ipv4", "\x00\xff 17 1",                // not entries
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		entries, err := Parse("fuzz", s)
		if err != nil {
			var pe *ParseError
			if !errors.As(err, &pe) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		tb := NewTable(DefaultConfig())
		for _, e := range entries {
			for _, form := range []Form{FormProc, FormTool} {
				line := string(e.Append(nil, form))
				again, err := Parse("printed", line)
				if err != nil || len(again) != 1 || again[0] != e {
					t.Fatalf("%v: %q reads back as %v", err, line, again)
				}
			}
			tb.Insert(0, e, nil)
		}
		tb.Advance(time.Hour, nil)
	})
}

func TestStateNames(t *testing.T) {
	for p, n := range map[packet.Protocol]State{packet.TCP: NumTCPStates, packet.SCTP: NumSCTPStates} {
		for s := range n {
			if got, ok := ParseState(p, StateName(p, s)); !ok || got != s {
				t.Errorf("%v state %d: %q reads as %d", p, s, StateName(p, s), got)
			}
		}
	}
}
