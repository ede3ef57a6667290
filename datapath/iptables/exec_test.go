package iptables

import (
	"errors"
	"strings"
	"testing"

	"github.com/svclab/svclab/datapath/packet"
)

// TestExec: commands as kube-proxy and operators give them, and typed refusals (iptables 1.8.9's messages in testdata/spelling).
func TestExec(t *testing.T) {
	rs := NewRuleset(packet.IPv4)
	step := func(args string, is func(error) bool) {
		t.Helper()
		before := rs.Print(Save, true)
		err := rs.Exec(args)
		switch {
		case is == nil && err != nil:
			t.Errorf("%s: %v", args, err)
		case is != nil && !is(err):
			t.Errorf("%s: got %v", args, err)
		case err != nil && rs.Print(Save, true) != before:
			t.Errorf("%s: refused, and changed something", args)
		}
	}
	step("-t nat -N KUBE-SERVICES", nil)
	step("-t nat -N KUBE-SERVICES", IsChainExists)
	step(`-w 5 -W 100000 -C PREROUTING -t nat -m comment --comment "kubernetes service portals" -j KUBE-SERVICES`, IsNoRule)
	step(`-I PREROUTING -t nat -m comment --comment 'kubernetes service portals' -j KUBE-SERVICES`, nil)
	step(`-C PREROUTING -t nat -m comment --comment "kubernetes service portals" -j KUBE-SERVICES`, nil)
	step("-t nat -X KUBE-SERVICES", IsTooManyLinks)
	step("-t nat -A KUBE-SERVICES -p tcp -m tcp --dport 80 -j RETURN", nil)
	step("-t nat -X KUBE-SERVICES", IsTooManyLinks)
	step("-t nat -D KUBE-SERVICES -p tcp --dport 80 -j RETURN", nil)
	step("-t nat -D KUBE-SERVICES -p tcp --dport 80 -j RETURN", IsNoRule)
	step("-t nat -F NOPE", IsNoChain)
	step("-t nat -A NOPE -j ACCEPT", IsNoChain)
	step("-t nat -E KUBE-SERVICES K", nil)
	step("-t nat -A K -j PREROUTING", func(err error) bool { var s *SyntaxError; return errors.As(err, &s) })
	step("-t nat -A K -j K", func(err error) bool {
		var l *LoopError
		return errors.As(err, &l) && strings.Contains(err.Error(), "K -> K")
	})
	step("-P FORWARD DROP", nil)
	step("-t nat -P POSTROUTING DROP", func(err error) bool { return err != nil })
	step("-t bogus -L", func(err error) bool { return err != nil })
	step("-A 'unclosed", func(err error) bool { return err != nil })
	want := `*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:K - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j K
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
COMMIT
`
	if got := rs.Print(Save, false); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	step("-t nat -F", nil)
	step("-t nat -X", nil)
	if got := rs.Print(Native, false); strings.Contains(got, "K") {
		t.Error(got)
	}
}

// TestNoFlush: --noflush keeps what is not named, empties the user chains it declares, and takes -X, -D and -I.
func TestNoFlush(t *testing.T) {
	rs := NewRuleset(packet.IPv4)
	restore := func(text string, opt RestoreOptions) error { return rs.Restore("r", text, opt) }
	if err := restore("*nat\n:A - [0:0]\n:B - [0:0]\n-A PREROUTING -j A\n-A A -j B\n-A B -j RETURN\n[3:4] -A B -j ACCEPT\nCOMMIT\n", RestoreOptions{Counters: true}); err != nil {
		t.Fatal(err)
	}
	clone := rs.Clone()
	before := rs.Print(Save, true)
	// An error anywhere in a table leaves it as it was; the tables before it are in place.
	err := restore("*filter\n:X - [0:0]\nCOMMIT\n*nat\n:A - [0:0]\n-A A -j NOWHERE\nCOMMIT\n", RestoreOptions{NoFlush: true})
	var p *PositionError
	if !errors.As(err, &p) || p.Line != 6 || rs.Chain(Filter, "X") == nil || rs.Chain(NAT, "A") == nil || len(rs.Chain(NAT, "A").Rules) != 1 {
		t.Fatal(err)
	}
	if err := restore("*nat\n:A - [0:0]\n:C - [0:0]\n-I PREROUTING 1 -j C\n-A A -j C\n-D B -j RETURN\nCOMMIT\n", RestoreOptions{NoFlush: true}); err != nil {
		t.Fatal(err)
	}
	var rules []string
	for _, l := range strings.Split(rs.Print(Save, true), "\n") {
		if strings.Contains(l, "-A") {
			rules = append(rules, l)
		}
	}
	want := "[0:0] -A PREROUTING -j C;[0:0] -A PREROUTING -j A;[0:0] -A A -j C;[3:4] -A B -j ACCEPT"
	if got := strings.Join(rules, ";"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if err := restore("*nat\n:B - [0:0]\n-X B\nCOMMIT\n*filter\n-A INPUT -j DROP\nCOMMIT\n", RestoreOptions{NoFlush: true, Table: "nat"}); err != nil {
		t.Error(err)
	}
	if rs.Chain(NAT, "B") != nil || len(rs.Chain(Filter, "INPUT").Rules) != 0 {
		t.Error("-T nat")
	}
	if clone.Print(Save, true) != before {
		t.Error("a clone changed with its origin")
	}
}

// FuzzReadDump: what is read prints to a text that reads to the same print, and can be linked.
func FuzzReadDump(f *testing.F) {
	for _, seed := range []string{
		"*nat\n:A - [0:0]\n-A PREROUTING -j A\nCOMMIT\n",                                                                                            // a user chain
		"* nat\r\n-N A\r\n--append PREROUTING --jump A\r\nCOMMIT\r\n",                                                                               // lax forms
		"*filter\n[1:2] -A INPUT -m comment --comment \"a \\\"b\\\" 'c' \\\\\" -j DROP\nCOMMIT\n",                                                   // counters, quotes
		"*filter\n-A INPUT -s 10.0.0.1,10.0.0.2/255.0.255.0 ! -d 1/8 -i e+ ! -p tcp -f -j ACCEPT\nCOMMIT\n",                                         // header
		"*nat\n-A PREROUTING -p tcp -m tcp --dport 1:2 -j DNAT --to 1.2.3.4-1.2.3.5:80-90/7 --random\nCOMMIT\n",                                     // NAT range
		"*filter\n-A INPUT -s fd00::1 -p ipv6-icmp --icmpv6-type 1/4 -j REJECT\nCOMMIT\n",                                                           // IPv6
		"*nat\n-A PREROUTING -p tcp -j DNAT --to-destination [fd00::1-fd00::2]:5\nCOMMIT\n",                                                         // brackets
		"*filter\n-A INPUT -m statistic --mode random ! --probability 2.5e-10 -m statistic --mode nth --every 3 --packet 2\nCOMMIT\n",               // both modes
		"*filter\n-A INPUT -m recent --rcheck --seconds 9 --reap --hitcount 3 --name a --mask 255.0.0.0 --rdest\nCOMMIT\n",                          // list
		"*filter\n-A INPUT -m limit --limit 7/min -m hashlimit --hashlimit-above 5/day --hashlimit-name x --hashlimit-mode srcip,dstport\nCOMMIT\n", // rates
		"*filter\n-A INPUT -m conntrack ! --ctstate NEW,DNAT --ctorigdst 1.2.3.4/9 --ctproto 6 --ctexpire 1:2 --ctdir REPLY\nCOMMIT\n",              // conntrack
		"*filter\n:A - [0:0]\n:B - [0:0]\n-A A -j B\n-A B -g A\nCOMMIT\n",                                                                           // a loop
		"*mangle\n-A PREROUTING -j CONNMARK --restore-mark --mask 0xff\n-A PREROUTING -p tcp -j TPROXY --on-port 1\nCOMMIT\n",                       // marks, not modelled
		"*filter\n-A INPUT -m time --timestart 1:2 --weekdays Mon -m string --hex-string \"|0a|x\" --algo bm -j LOG --log-prefix \"a b\"\nCOMMIT\n", // opaque
		"# Generated by ip6tables-save\n*filter\nCOMMIT\n# Generated by iptables-save\n*filter\nCOMMIT\n",                                           // two families
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		d, err := ReadDump("f", []byte(in))
		if err != nil {
			var p *PositionError
			if !errors.As(err, &p) {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		for _, rs := range d.Rulesets {
			out := rs.Print(Save, true)
			again := NewRuleset(rs.Family)
			if err := again.Restore("f", out, RestoreOptions{Counters: true}); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if got := again.Print(Save, true); got != out {
				t.Fatalf("first:\n%s\nthen:\n%s", out, got)
			}
			if _, err := Link(rs, LinkEnv{}); err != nil {
				t.Fatal(err)
			}
		}
	})
}
