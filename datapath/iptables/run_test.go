package iptables

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath/conntrack"
	"github.com/svclab/svclab/datapath/journal"
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

var (
	families  = []packet.Family{packet.IPv4, packet.IPv6}
	protocols = []packet.Protocol{packet.TCP, packet.UDP, packet.SCTP}
)

// addr spells host n of a test network in either family.
func addr(f packet.Family, n int) string {
	if f == packet.IPv6 {
		return fmt.Sprintf("fd00::%d", n)
	}
	return fmt.Sprintf("10.0.0.%d", n)
}

func hostPort(f packet.Family, n, port int) string {
	if f == packet.IPv6 {
		return fmt.Sprintf("[%s]:%d", addr(f, n), port)
	}
	return fmt.Sprintf("%s:%d", addr(f, n), port)
}

func (n *node) counts(t *testing.T, id TableID, chain string) string {
	t.Helper()
	c, ok := n.l.Counters(id, chain)
	if !ok {
		t.Fatalf("no chain %s", chain)
	}
	var s []string
	for _, r := range c.Rules {
		s = append(s, fmt.Sprint(r.Packets))
	}
	return fmt.Sprintf("%s policy %d", strings.Join(s, " "), c.Policy.Packets)
}

// TestServiceMatrix: a Service of three endpoints with draws by hand, every family and protocol. Expectation: arithmetic on the
// probabilities 1/3 and 1/2.
func TestServiceMatrix(t *testing.T) {
	for _, f := range families {
		for _, proto := range protocols {
			rules := strings.NewReplacer("PROTO", proto.String(), "VIP", addr(f, 100)).Replace(`*nat
:SVC - [0:0]
:SEP1 - [0:0]
:SEP2 - [0:0]
:SEP3 - [0:0]
-A PREROUTING -d VIP -p PROTO -m PROTO --dport 80 -j SVC
-A SVC -m statistic --mode random --probability 0.33333333349 -j SEP1
-A SVC -m statistic --mode random --probability 0.50000000000 -j SEP2
-A SVC -j SEP3
`)
			for i := 1; i <= 3; i++ {
				rules += fmt.Sprintf("-A SEP%d -p %s -j DNAT --to-destination %s\n", i, proto, hostPort(f, i, 8080))
			}
			n := newNode(t, f, rules+"COMMIT\n", LinkEnv{})
			for _, c := range []struct {
				words []uint32
				want  string
			}{
				{[]uint32{0}, hostPort(f, 1, 8080)},
				{[]uint32{715827882}, hostPort(f, 1, 8080)}, // just below 1/3
				{[]uint32{715827883, 0}, hostPort(f, 2, 8080)},
				{[]uint32{0x7fffffff, 1 << 30}, hostPort(f, 3, 8080)},
				{[]uint32{0x80000000}, hostPort(f, 1, 8080)}, // the top bit is not looked at
			} {
				n.draws(c.words...)
				v, got := n.run(NAT, netfilter.PreRouting, pkt(proto, hostPort(f, 50, 4711), hostPort(f, 100, 80)))
				if v != netfilter.Accept || got != c.want {
					t.Errorf("%v %v draws %v: %v %s, want %s", f, proto, c.words, v, got, c.want)
				}
			}
			n.draws() // another port: no draw, no translation, policy
			if _, got := n.run(NAT, netfilter.PreRouting, pkt(proto, hostPort(f, 50, 4711), hostPort(f, 100, 81))); got != hostPort(f, 100, 81) {
				t.Errorf("%v %v: %s", f, proto, got)
			}
			if got := n.counts(t, NAT, "PREROUTING"); got != "5 policy 1" { // trap 10
				t.Errorf("counters %s", got)
			}
		}
	}
}

// TestControlFlow: jump comes back, goto does not, RETURN in a built-in chain is its policy, a rule without target counts.
func TestControlFlow(t *testing.T) {
	n := newNode(t, packet.IPv4, `*filter
:INPUT DROP [0:0]
:A - [0:0]
:B - [0:0]
:C - [0:0]
-A INPUT
-A INPUT -j A
-A INPUT -p tcp -j RETURN
-A INPUT -j ACCEPT
-A A -g B
-A A -j DROP
-A B -j C
-A B -p udp -m udp --dport 9 -j ACCEPT
-A C -j RETURN
-A C -j DROP
COMMIT
`, LinkEnv{})
	for _, c := range []struct {
		p    *packet.Packet
		want netfilter.Verdict
	}{
		{pkt(packet.UDP, "1.1.1.1:1", "2.2.2.2:9"), netfilter.Accept},
		{pkt(packet.UDP, "1.1.1.1:1", "2.2.2.2:8"), netfilter.Accept},
		{pkt(packet.TCP, "1.1.1.1:1", "2.2.2.2:9"), netfilter.Drop},
	} {
		if v, _ := n.run(Filter, netfilter.Input, c.p); v != c.want {
			t.Errorf("%v: %v, want %v", c.p.Dst, v, c.want)
		}
	}
	for chain, want := range map[string]string{"INPUT": "3 3 1 1 policy 1", "A": "3 0 policy 0", "B": "3 1 policy 0", "C": "3 0 policy 0"} {
		if got := n.counts(t, Filter, chain); got != want {
			t.Errorf("%s: %s, want %s", chain, got, want)
		}
	}
}

// TestSideEffects is trap 4: conditions before nth gate its counter, conditions after it do not undo it.
func TestSideEffects(t *testing.T) {
	for _, c := range []struct {
		rule string
		want string // which of the packets to ports 1 2 1 1 match
	}{
		{"-p tcp -m tcp --dport 1 -m statistic --mode nth --every 2 --packet 1", "..D."},
		{"-p tcp -m statistic --mode nth --every 2 --packet 1 -m tcp --dport 1", "...D"},
	} {
		n := newNode(t, packet.IPv4, "*filter\n-A INPUT "+c.rule+" -j DROP\nCOMMIT\n", LinkEnv{})
		got := ""
		for _, port := range []string{"1", "2", "1", "1"} {
			v, _ := n.run(Filter, netfilter.Input, pkt(packet.TCP, "1.1.1.1:1", "2.2.2.2:"+port))
			got += map[netfilter.Verdict]string{netfilter.Accept: ".", netfilter.Drop: "D"}[v]
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.rule, got, c.want)
		}
	}
}

// TestMarks: kube-proxy's mark arithmetic, and later rules see the change (trap 20: the mark is the packet's).
func TestMarks(t *testing.T) {
	n := newNode(t, packet.IPv4, `*mangle
-A PREROUTING -j MARK --or-mark 0x4000
-A PREROUTING -m mark --mark 0x4000/0x4000
-A PREROUTING -j MARK --xor-mark 0x4000
-A PREROUTING -m mark ! --mark 0x4000/0x4000
-A PREROUTING -j MARK --set-mark 0x1/0xf
-A PREROUTING -j MARK --and-mark 0xf1
COMMIT
`, LinkEnv{})
	p := pkt(packet.TCP, "1.1.1.1:1", "2.2.2.2:2")
	p.Mark = 0x8ff
	n.run(Mangle, netfilter.PreRouting, p)
	if p.Mark != 0xf1 || n.counts(t, Mangle, "PREROUTING") != "1 1 1 1 1 1 policy 1" {
		t.Errorf("mark %#x, %s", p.Mark, n.counts(t, Mangle, "PREROUTING"))
	}
}

// TestReject is trap 13: the default answer is ICMP for TCP too, and some packets are never answered.
func TestReject(t *testing.T) {
	for _, f := range families {
		with := map[packet.Family]string{packet.IPv4: "icmp-port-unreachable", packet.IPv6: "icmp6-port-unreachable"}[f]
		for _, proto := range protocols {
			n := newNode(t, f, "*filter\n-A INPUT -j REJECT\nCOMMIT\n", LinkEnv{})
			p := pkt(proto, hostPort(f, 1, 1), hostPort(f, 2, 2))
			if v, _ := n.run(Filter, netfilter.Input, p); v != netfilter.Reject || n.w.Rejection.With != with {
				t.Errorf("%v %v: %v %v", f, proto, v, n.w.Rejection)
			}
			p.FragmentOffset = 1
			if v, _ := n.run(Filter, netfilter.Input, p); v != netfilter.Drop {
				t.Errorf("a fragment is answered: %v", v)
			}
		}
		n := newNode(t, f, "*filter\n-A INPUT -p tcp -j REJECT --reject-with tcp-reset\nCOMMIT\n", LinkEnv{})
		p := pkt(packet.TCP, hostPort(f, 1, 1), hostPort(f, 2, 2))
		p.TCPFlags = packet.RST
		if v, _ := n.run(Filter, netfilter.Input, p); v != netfilter.Drop {
			t.Errorf("a reset is answered by a reset: %v", v)
		}
	}
}

// TestAddresses: MASQUERADE takes the outgoing interface's address, REDIRECT the incoming one's or loopback.
func TestAddresses(t *testing.T) {
	for f, own := range map[packet.Family]string{packet.IPv4: "192.168.10.11", packet.IPv6: "[fd00:10::11]"} {
		rules := "*nat\n-A PREROUTING -p tcp -j REDIRECT --to-ports 8080\n-A OUTPUT -p tcp -j REDIRECT\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n"
		n := newNode(t, f, rules, LinkEnv{})
		p := pkt(packet.TCP, hostPort(f, 1, 4711), hostPort(f, 2, 80))
		if _, got := n.run(NAT, netfilter.PreRouting, p); got != own+":8080" {
			t.Errorf("REDIRECT: %s", got)
		}
		lo := map[packet.Family]string{packet.IPv4: "127.0.0.1:80", packet.IPv6: "[::1]:80"}[f]
		if _, got := n.run(NAT, netfilter.Output, p); got != lo {
			t.Errorf("REDIRECT at OUTPUT: %s", got)
		}
		n.w.Out = "eth0"
		n.run(NAT, netfilter.PostRouting, p)
		if got := n.w.Conn.Reply.Dst.String(); got != own+":4711" || n.w.Conn.MasqueradeOut != "eth0" {
			t.Errorf("MASQUERADE: %s", got)
		}
	}
}

// TestConntrackStates is traps 14 and 19: NEW is no SYN test, and DNAT holds for both directions.
func TestConntrackStates(t *testing.T) {
	n := newNode(t, packet.IPv4, `*filter
-A INPUT -m conntrack --ctstate NEW
-A INPUT -m conntrack --ctstate ESTABLISHED
-A INPUT -m conntrack --ctstate DNAT
-A INPUT -m conntrack --ctstate INVALID
-A INPUT -m conntrack --ctstate UNTRACKED
-A INPUT -m conntrack ! --ctstate NEW
-A INPUT -m state --state RELATED
COMMIT
`, LinkEnv{})
	dnat := &conntrack.Conn{Status: conntrack.DstNAT | conntrack.DstNATDone}
	for _, c := range []struct {
		conn *conntrack.Conn
		info conntrack.Info
		want string
	}{
		{&conntrack.Conn{}, conntrack.New, "1 0 0 0 0 0 0"}, {dnat, conntrack.New, "1 0 1 0 0 0 0"},
		{dnat, conntrack.EstablishedReply, "0 1 1 0 0 1 0"}, {nil, conntrack.Invalid, "0 0 0 1 0 1 0"},
		{nil, conntrack.Untracked, "0 0 0 0 1 1 0"}, {&conntrack.Conn{}, conntrack.RelatedReply, "0 0 0 0 0 1 1"},
	} {
		n.l.Zero(Filter, "")
		n.w.Conn, n.w.Info = c.conn, c.info
		n.l.Run(&n.w, Filter, netfilter.Input, pkt(packet.TCP, "1.1.1.1:1", "2.2.2.2:2"))
		if got := n.counts(t, Filter, "INPUT"); got != c.want+" policy 1" {
			t.Errorf("%v: %s, want %s", c.info, got, c.want)
		}
	}
	if !n.l.NeedsConntrack() {
		t.Error("a conntrack match needs connection tracking")
	}
	empty := newNode(t, packet.IPv4, "*filter\n-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT\nCOMMIT\n*nat\nCOMMIT\n", LinkEnv{})
	if empty.l.NeedsConntrack() { // trap 16
		t.Error("nothing needs connection tracking here")
	}
}

// TestLimit: three at once, then one a second (xt_limit.c: a bucket of burst packets).
func TestLimit(t *testing.T) {
	for _, rule := range []string{
		"-m limit --limit 1/sec --limit-burst 3",
		"-m hashlimit --hashlimit-upto 1/sec --hashlimit-burst 3 --hashlimit-mode srcip --hashlimit-name h",
	} {
		n := newNode(t, packet.IPv4, "*filter\n-A INPUT "+rule+" -j DROP\nCOMMIT\n", LinkEnv{HZ: 250})
		got := ""
		for _, at := range []time.Duration{0, 0, 0, 0, 900, 1000, 1500, 2000, 9000, 9000, 9000, 9000} {
			n.w.Now = at * time.Millisecond
			v, _ := n.run(Filter, netfilter.Input, pkt(packet.UDP, "1.1.1.1:1", "2.2.2.2:2"))
			got += map[netfilter.Verdict]string{netfilter.Accept: ".", netfilter.Drop: "D"}[v]
		}
		if want := "DDD..D.DDDD."; got != want {
			t.Errorf("%s: %s, want %s", rule, got, want)
		}
	}
}

// TestUnmodelled: a walk that needs what is not modelled stops and says so; one that does not is not disturbed.
func TestUnmodelled(t *testing.T) {
	n := newNode(t, packet.IPv4, "*filter\n-A INPUT -p udp -m string --string x --algo bm -j DROP\nCOMMIT\n", LinkEnv{})
	if u := n.rs.Unmodelled(); len(u) != 1 || u[0].Line != 2 || u[0].Construct != "match string" {
		t.Errorf("listed: %v", u)
	}
	if v, _ := n.run(Filter, netfilter.Input, pkt(packet.TCP, "1.1.1.1:1", "2.2.2.2:2")); v != netfilter.Accept || n.w.Unmodelled != nil {
		t.Errorf("%v %v", v, n.w.Unmodelled)
	}
	v, _ := n.run(Filter, netfilter.Input, pkt(packet.UDP, "1.1.1.1:1", "2.2.2.2:2"))
	var u *UnsupportedError
	if v != netfilter.Drop || !errors.As(n.w.Unmodelled, &u) || u.File != "rules" || u.Line != 2 {
		t.Errorf("%v %v", v, n.w.Unmodelled)
	}
}

// TestMissingSet: a rule that names a set which does not exist cannot be linked.
func TestMissingSet(t *testing.T) {
	rs := NewRuleset(packet.IPv4)
	if err := rs.Exec("-A INPUT -m set --match-set S src"); err != nil {
		t.Fatal(err)
	}
	if _, err := Link(rs, LinkEnv{HasSet: func(string) bool { return false }}); !errors.Is(err, ErrNoSet) {
		t.Error(err)
	}
}

// TestTrace: each rule tried is a step, which says what it did or what missed.
func TestTrace(t *testing.T) {
	n := newNode(t, packet.IPv4, `*filter
:A - [0:0]
-A INPUT ! -s 1.1.1.0/24 -j DROP
-A INPUT -i wg+ -j DROP
-A INPUT -p udp -j DROP
-A INPUT -p tcp -m comment --comment x -m tcp --dport 80 -j DROP
-A INPUT -m statistic --mode random --probability 0.5 -j A
-A A -j LOG
COMMIT
`, LinkEnv{})
	n.w.Trace = &netfilter.Trace{}
	n.w.In = "eth0"
	n.draws(5)
	n.run(Filter, netfilter.Input, pkt(packet.TCP, "1.1.1.1:1", "2.2.2.2:2"))
	var got []string
	for _, s := range n.w.Trace.Steps {
		got = append(got, fmt.Sprintf("%s %d %s %v", s.Chain, s.Rule, s.Result, s.Draw != nil))
	}
	want := []string{
		"INPUT 1 miss: ! -s 1.1.1.0/24 false", "INPUT 2 miss: -i wg+ false", "INPUT 3 miss: -p udp false",
		"INPUT 4 miss: --dport 80 false", "INPUT 5 jump A true", "A 1 counted; LOG does not change the path false",
		"INPUT 0 accept false",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestJournal: a walk taken back leaves counters, nth, limits and lists as they were.
func TestJournal(t *testing.T) {
	n := newNode(t, packet.IPv4, `*filter
-A INPUT -m statistic --mode nth --every 3 --packet 0
-A INPUT -m recent --set --name L
-A INPUT -m recent --update --seconds 5 --reap --name L
-A INPUT -m limit --limit 1/sec --limit-burst 2
-A INPUT -m hashlimit --hashlimit-upto 1/sec --hashlimit-mode srcip --hashlimit-name h
-A INPUT -m connlimit --connlimit-above 1
COMMIT
`, LinkEnv{})
	walk := func() { n.run(Filter, netfilter.Input, pkt(packet.UDP, "1.1.1.1:1", "2.2.2.2:2")) }
	state := func() string { return n.l.Print(true) + fmt.Sprint(n.l.Recent("L")) }
	walk()
	before := state()
	n.w.Journal = new(journal.Journal)
	walk()
	walk()
	after := state()
	n.w.Journal.Rollback()
	n.w.Journal = nil
	if got := state(); got != before {
		t.Errorf("after rollback:\n%s\nwant\n%s", got, before)
	}
	walk()
	walk()
	if got := state(); got != after {
		t.Errorf("the same walks again:\n%s\nwant\n%s", got, after)
	}
}

// TestNoAllocation: a walk without trace and journal allocates nothing.
func TestNoAllocation(t *testing.T) {
	n := newNode(t, packet.IPv4, services(10, 3), LinkEnv{})
	n.w.Source = zeroes{}
	p := pkt(packet.TCP, "10.244.1.1:4711", "192.0.2.1:80")
	if a := testing.AllocsPerRun(100, func() { n.l.Run(&n.w, NAT, netfilter.PreRouting, p) }); a != 0 {
		t.Errorf("%v allocations a walk", a)
	}
}

// TestRecentSeconds is trap 7: an age of exactly --seconds still matches, counted in timer ticks; and trap 5: --rcheck does not renew.
func TestRecentSeconds(t *testing.T) {
	n := newNode(t, packet.IPv6, "*filter\n-A INPUT -m recent --rcheck --seconds 4 --name L -j DROP\n-A OUTPUT -m recent --set --name L\nCOMMIT\n",
		LinkEnv{HZ: 100})
	p := pkt(packet.UDP, "[fd00::1]:1", "[fd00::2]:2")
	n.w.Now = 1005 * time.Millisecond // tick 100
	n.run(Filter, netfilter.Output, p)
	for _, c := range []struct {
		at   time.Duration
		want netfilter.Verdict
	}{{3 * time.Second, netfilter.Drop}, {5009 * time.Millisecond, netfilter.Drop}, {5010 * time.Millisecond, netfilter.Accept}} {
		n.w.Now = c.at
		if v, _ := n.run(Filter, netfilter.Input, p); v != c.want {
			t.Errorf("at %v: %v, want %v", c.at, v, c.want)
		}
	}
}

// TestNoTrack: --notrack asks for no connection tracking; a zone is not modelled.
func TestNoTrack(t *testing.T) {
	n := newNode(t, packet.IPv4, "*raw\n-A PREROUTING -p udp -j CT --notrack\n-A PREROUTING -p tcp -j NOTRACK\n-A PREROUTING -j CT --zone 3\nCOMMIT\n", LinkEnv{})
	n.l.Run(&n.w, Raw, netfilter.PreRouting, pkt(packet.UDP, "1.1.1.1:1", "2.2.2.2:2"))
	if !n.w.NoTrack || n.w.Unmodelled == nil {
		t.Errorf("notrack %v, zone %v", n.w.NoTrack, n.w.Unmodelled)
	}
}

// TestConnmark: saved on the connection, restored on a later packet, by masks (xt_connmark.c).
func TestConnmark(t *testing.T) {
	n := newNode(t, packet.IPv4, `*mangle
-A PREROUTING -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff
-A OUTPUT -j CONNMARK --restore-mark
-A OUTPUT -m connmark --mark 0x12
-A FORWARD -j CONNMARK --set-xmark 0x1/0xf
COMMIT
`, LinkEnv{})
	n.w.Conn, n.w.Info = &conntrack.Conn{Mark: 0x300}, conntrack.New
	p := pkt(packet.TCP, "1.1.1.1:1", "2.2.2.2:2")
	p.Mark = 0x4012
	n.l.Run(&n.w, Mangle, netfilter.PreRouting, p)
	n.l.Run(&n.w, Mangle, netfilter.Forward, p)
	q := pkt(packet.TCP, "1.1.1.1:1", "2.2.2.2:2")
	n.l.Run(&n.w, Mangle, netfilter.Output, q)
	if n.w.Conn.Mark != 0x311 || q.Mark != 0x311 || n.counts(t, Mangle, "OUTPUT") != "1 0 policy 1" {
		t.Errorf("connection %#x, packet %#x, %s", n.w.Conn.Mark, q.Mark, n.counts(t, Mangle, "OUTPUT"))
	}
}
