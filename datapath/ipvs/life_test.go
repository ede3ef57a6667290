package ipvs

import (
	"errors"
	"testing"
	"time"

	"net/netip"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// Expectation: net/netfilter/ipvs/ip_vs_proto_tcp.c, ip_vs_proto_udp.c and ip_vs_proto_sctp.c; TCP also recordings.
func TestTheLifeOfAnEntry(t *testing.T) {
	type step struct {
		fromServer bool
		flags      packet.TCPFlags
		chunk      packet.SCTPChunk
		state      string
		timeout    time.Duration
		active     int
	}
	const fin, ack, syn, rst = packet.FIN | packet.ACK, packet.ACK, packet.SYN, packet.RST
	sec := time.Second
	lives := map[packet.Protocol][]step{
		packet.TCP: {
			{false, syn, 0, "SYN_RECV", 60 * sec, 1},
			{true, syn | ack, 0, "SYN_RECV", 60 * sec, 1},
			{false, ack, 0, "ESTABLISHED", 900 * sec, 1},
			{false, fin, 0, "CLOSE_WAIT", 60 * sec, 0},
			{true, ack, 0, "CLOSE_WAIT", 60 * sec, 0},
			{true, fin, 0, "TIME_WAIT", 120 * sec, 0},
			{false, ack, 0, "TIME_WAIT", 120 * sec, 0},
			{false, rst, 0, "CLOSE", 10 * sec, 0},
		},
		packet.UDP: {
			{false, 0, 0, "UDP", 300 * sec, 0},
			{true, 0, 0, "UDP", 300 * sec, 0},
		},
		packet.SCTP: {
			{false, 0, packet.SCTPInit, "INIT1", 4 * sec, 0},
			{false, 0, packet.SCTPInit, "INIT", 61 * sec, 0},
			{true, 0, packet.SCTPInitAck, "C-SENT", 61 * sec, 0},
			{false, 0, packet.SCTPCookieEcho, "C-REPLIED", 61 * sec, 0},
			{true, 0, packet.SCTPCookieAck, "ESTABLISHED", 900 * sec, 1},
			{false, 0, packet.SCTPHeartbeat, "ESTABLISHED", 900 * sec, 1},
			{false, 0, packet.SCTPShutdown, "S-RECEIVED", 61 * sec, 0},
			{true, 0, packet.SCTPShutdownAck, "S-ACK-SENT", 61 * sec, 0},
			{false, 0, packet.SCTPShutdownComplete, "CLOSED", 61 * sec, 0},
		},
	}
	matrix(t, func(t *testing.T, proto packet.Protocol, v6 bool) {
		l := newLab(t, proto, v6, "rr")
		l.add(1, 1)
		f := &labFlow{src: l.client(1), dst: l.virtual()}
		for i, s := range lives[proto] {
			l.pass(time.Second)
			if s.fromServer {
				f.server = l.server(1)
				l.want("source of the reply", l.reply(f, s.flags, s.chunk).Src, l.virtual())
			} else {
				l.want("verdict", l.send(f, s.flags, s.chunk).Verdict, netfilter.Stolen)
				l.want("rewritten to", f.server, l.server(1))
			}
			c := l.tab.Conns()[0]
			l.want("state", c.StateName(), s.state)
			l.want("left", c.Left(l.w.Now), s.timeout)
			if n := l.counters(1); n != [3]int{s.active, 1 - s.active, 0} {
				t.Errorf("step %d: counters %v", i, n)
			}
		}
		last := lives[proto][len(lives[proto])-1].timeout
		l.pass(last - 1)
		l.want("entries before the end", len(l.tab.Conns()), 1)
		l.pass(1)
		l.want("entries after it", len(l.tab.Conns()), 0)
		l.want("counters", l.counters(1), [3]int{})
	})
}

func TestWhatOpensAConnection(t *testing.T) {
	for _, c := range []struct {
		proto  packet.Protocol
		flags  packet.TCPFlags
		chunk  packet.SCTPChunk
		sloppy string
		want   netfilter.Verdict
	}{
		{packet.TCP, packet.SYN, 0, "", netfilter.Stolen},
		{packet.TCP, packet.SYN | packet.ACK, 0, "", netfilter.Stolen},
		{packet.TCP, packet.SYN | packet.RST, 0, "", netfilter.Continue},
		{packet.TCP, packet.ACK, 0, "", netfilter.Continue},
		{packet.TCP, packet.ACK, 0, "sloppy_tcp", netfilter.Stolen},
		{packet.TCP, packet.RST, 0, "sloppy_tcp", netfilter.Continue},
		{packet.UDP, 0, 0, "", netfilter.Stolen},
		{packet.SCTP, 0, packet.SCTPInit, "", netfilter.Stolen},
		{packet.SCTP, 0, packet.SCTPData, "", netfilter.Continue},
		{packet.SCTP, 0, packet.SCTPData, "sloppy_sctp", netfilter.Stolen},
		{packet.SCTP, 0, packet.SCTPAbort, "sloppy_sctp", netfilter.Continue},
	} {
		for _, v6 := range []bool{false, true} {
			l := newLab(t, c.proto, v6, "rr")
			l.add(1, 1)
			if c.sloppy != "" {
				l.check(l.tab.SetSysctl(c.sloppy, "1"))
			}
			f := &labFlow{src: l.client(1), dst: l.virtual()}
			if got := l.send(f, c.flags, c.chunk).Verdict; got != c.want {
				t.Errorf("%s %s chunk %d %s: %v, want %v", c.proto, c.flags, c.chunk, c.sloppy, got, c.want)
			}
		}
	}
}

func TestForwardingMethods(t *testing.T) {
	matrix(t, func(t *testing.T, proto packet.Protocol, v6 bool) {
		for _, c := range []struct {
			method      Forward
			local       bool
			verdict     netfilter.Verdict
			rewritten   bool
			internal    bool
			encapsulate bool
		}{
			{Masquerade, false, netfilter.Stolen, true, true, false},
			{Masquerade, true, netfilter.Continue, true, true, false},
			{DirectRoute, false, netfilter.Stolen, false, true, false},
			{DirectRoute, true, netfilter.Continue, false, true, false},
			{Tunnel, false, netfilter.Stolen, false, true, true},
			{LocalNode, false, netfilter.Continue, false, false, false},
		} {
			l := newLab(t, proto, v6, "rr")
			server := l.server(1)
			if c.method != Masquerade {
				server = withPort(server, l.virtual().Port())
			}
			l.check(l.tab.AddDestination(l.key, DestinationConfig{Addr: server, Weight: 1, Forward: c.method}))
			if c.local {
				l.w.Route = everywhere{map[netip.Addr]bool{server.Addr(): true}}
			}
			p := packet.Packet{Src: l.client(1), Dst: l.virtual(), Proto: proto, TCPFlags: packet.SYN, SCTPChunk: packet.SCTPInit}
			r := l.tab.Request(l.w, &p)
			want := l.virtual()
			if c.rewritten {
				want = server
			}
			if r.Verdict != c.verdict || p.Dst != want || p.Internal != c.internal || r.Encapsulate != c.encapsulate || r.Method != c.method {
				t.Errorf("%v local %v: %+v, packet to %s, internal %v", c.method, c.local, r, p.Dst, p.Internal)
			}
			if r.Verdict == netfilter.Stolen && r.NextHop != server.Addr() {
				t.Errorf("%v: next hop %s", c.method, r.NextHop)
			}
		}
	})
}

func TestCacheBypassSendsOnToTheDestination(t *testing.T) {
	l := tcpLab(t, "rr", func(c *ServiceConfig) { c.Key = MarkService(packet.IPv4, 5) })
	f := &labFlow{src: l.client(1), dst: netip.MustParseAddrPort("192.0.2.1:80"), mark: 5}
	l.want("off", l.send(f, packet.SYN, 0).Verdict, netfilter.Reject)
	l.check(l.tab.SetSysctl("cache_bypass", "1"))
	r := l.send(f, packet.SYN, 0)
	l.want("on", r.Verdict, netfilter.Stolen)
	l.want("destination", f.server, f.dst)
	l.want("next hop", r.NextHop, f.dst.Addr())
	l.want("later packets", l.send(f, packet.ACK, 0).Method, Bypass)
}

func TestServiceLookup(t *testing.T) {
	tab := NewTable(DefaultSysctls())
	ap := netip.MustParseAddrPort
	add := func(c ServiceConfig) {
		if err := tab.AddService(c); err != nil {
			t.Fatal(err)
		}
	}
	add(ServiceConfig{Key: AddressService(packet.TCP, ap("10.9.0.1:80")), Scheduler: "rr"})
	add(ServiceConfig{Key: AddressService(packet.TCP, ap("10.9.0.1:21")), Scheduler: "rr"})
	add(ServiceConfig{Key: AddressService(packet.TCP, ap("10.9.0.1:0")), Scheduler: "rr", Persistence: time.Minute})
	add(ServiceConfig{Key: AddressService(packet.UDP, ap("10.9.0.1:0")), Scheduler: "rr", Persistence: time.Minute})
	add(ServiceConfig{Key: MarkService(packet.IPv4, 7), Scheduler: "rr"})
	for _, c := range []struct {
		mark  uint32
		proto packet.Protocol
		dst   string
		want  string
	}{
		{7, packet.TCP, "10.9.0.1:80", "-f 7"},
		{8, packet.TCP, "10.9.0.1:80", "-t 10.9.0.1:80"},
		{0, packet.TCP, "10.9.0.1:20", "-t 10.9.0.1:21"},
		{0, packet.TCP, "10.9.0.1:1024", "-t 10.9.0.1:21"},
		{0, packet.TCP, "10.9.0.1:443", "-t 10.9.0.1:0"},
		{0, packet.UDP, "10.9.0.1:1024", "-u 10.9.0.1:0"},
		{0, packet.TCP, "10.9.0.2:80", ""},
		{0, packet.SCTP, "10.9.0.1:80", ""},
	} {
		got := ""
		if s := tab.lookup(packet.IPv4, c.mark, c.proto, ap(c.dst)); s != nil {
			got = s.Key.String()
		}
		if got != c.want {
			t.Errorf("mark %d %s %s: %q, want %q", c.mark, c.proto, c.dst, got, c.want)
		}
	}
}

func TestAServicelessPortBesideFTPIsLeftAlone(t *testing.T) {
	l := tcpLab(t, "rr", func(c *ServiceConfig) { c.Key.Addr = withPort(c.Key.Addr, 21) })
	l.add(1, 1)
	f := &labFlow{src: l.client(1), dst: withPort(l.virtual(), 5000)}
	l.want("verdict", l.send(f, packet.SYN, 0).Verdict, netfilter.Continue)
}

func TestICMPErrorsAreTranslated(t *testing.T) {
	matrix(t, func(t *testing.T, proto packet.Protocol, v6 bool) {
		l := newLab(t, proto, v6, "rr")
		l.add(1, 1)
		f, _ := l.open(1)
		icmp, unreachable := packet.ICMP, uint8(3)
		if v6 {
			icmp, unreachable = packet.ICMPv6, 1
		}
		// The server's host says that its port is closed: the client hears it of the virtual address.
		p := packet.Packet{Src: withPort(l.server(1), 0), Dst: withPort(f.src, 0), Proto: icmp, ICMPType: unreachable,
			Quoted: packet.Tuple{Src: f.src, Dst: l.server(1), Proto: proto}}
		l.w.Hook = netfilter.Forward
		r := l.tab.Reply(l.w, &p)
		l.want("source", p.Src.Addr(), l.virtual().Addr())
		l.want("quoted", p.Quoted, packet.Tuple{Src: f.src, Dst: l.virtual(), Proto: proto})
		l.want("verdict", r.Verdict, netfilter.Continue)
		// The client says the same of a reply: the server hears it of its own address.
		p = packet.Packet{Src: withPort(f.src, 0), Dst: withPort(l.virtual(), 0), Proto: icmp, ICMPType: unreachable,
			Quoted: packet.Tuple{Src: l.virtual(), Dst: f.src, Proto: proto}}
		l.w.Hook = netfilter.Input
		r = l.tab.Request(l.w, &p)
		l.want("destination", p.Dst.Addr(), l.server(1).Addr())
		l.want("quoted", p.Quoted, packet.Tuple{Src: l.server(1), Dst: f.src, Proto: proto})
		l.want("verdict", r.Verdict, netfilter.Stolen)
	})
}

func TestConfigurationErrors(t *testing.T) {
	tab := NewTable(DefaultSysctls())
	ap := netip.MustParseAddrPort
	k := AddressService(packet.TCP, ap("10.9.0.1:80"))
	server := func(a string, w int, up, low uint32) error {
		return tab.AddDestination(k, DestinationConfig{Addr: ap(a), Weight: w, Upper: up, Lower: low})
	}
	if err := tab.AddService(ServiceConfig{Key: k, Scheduler: "rr"}); err != nil {
		t.Fatal(err)
	}
	if err := server("10.2.0.1:80", 1, 0, 0); err != nil {
		t.Fatal(err)
	}
	before := tab.List(ListThresholds)
	for i, c := range []struct{ err, want error }{
		{tab.AddService(ServiceConfig{Key: k, Scheduler: "rr"}), ErrServiceExists},
		{tab.AddService(ServiceConfig{Key: AddressService(packet.TCP, ap("10.9.0.2:80")), Scheduler: "maglev"}), ErrUnknownScheduler},
		{tab.EditService(ServiceConfig{Key: k, Scheduler: "maglev"}), ErrUnknownScheduler},
		{tab.EditService(ServiceConfig{Key: MarkService(packet.IPv4, 1), Scheduler: "rr"}), ErrNoService},
		{tab.AddService(ServiceConfig{Key: AddressService(packet.ICMP, ap("10.9.0.2:80"))}), ErrBadProtocol},
		{tab.AddService(ServiceConfig{Key: ServiceKey{Family: packet.IPv6, Proto: packet.TCP, Addr: ap("10.9.0.2:80")}}), ErrBadAddress},
		{tab.AddService(ServiceConfig{Key: MarkService(packet.IPv4, 1), Persistence: time.Second, MaskBits: 33}), ErrBadNetmask},
		{tab.AddService(ServiceConfig{Key: MarkService(packet.IPv4, 1), Persistence: time.Second / 2}), ErrBadValue},
		{tab.DeleteService(MarkService(packet.IPv4, 1)), ErrNoService},
		{server("10.2.0.1:80", 1, 0, 0), ErrDestinationExists},
		{server("10.2.0.2:80", -1, 0, 0), ErrNegativeWeight},
		{server("10.2.0.2:80", 1, 5, 6), ErrThresholds},
		{server("[fd00::1]:80", 1, 0, 0), ErrMixedFamilies},
		{tab.EditDestination(k, DestinationConfig{Addr: ap("10.2.0.9:80")}), ErrNoDestination},
		{tab.DeleteDestination(k, ap("10.2.0.9:80")), ErrNoDestination},
		{tab.SetSysctl("net.ipv4.vs.conn_reuse", "1"), ErrUnknownSysctl},
		{tab.SetSysctl("conn_reuse_mode", "yes"), ErrBadValue},
		{tab.SetSysctl("secure_tcp", "3"), ErrNotModelled},
		{tab.SetTimeouts(Timeouts{TCP: -1}), ErrBadValue},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%d: %v, want %v", i, c.err, c.want)
		}
	}
	compareText(t, "after all errors", tab.List(ListThresholds), before)
}

func TestTimeoutsChangeThreeStates(t *testing.T) {
	l := tcpLab(t, "rr")
	l.check(l.tab.SetTimeouts(Timeouts{TCP: 100 * time.Second, TCPFIN: 50 * time.Second}))
	l.add(1, 1)
	f, _ := l.open(1)
	c := l.tab.Conns()[0]
	l.want("ESTABLISHED", c.Left(l.w.Now), 100*time.Second)
	f.server = l.server(1)
	l.reply(f, packet.FIN|packet.ACK, 0)
	l.want("FIN_WAIT", c.Left(l.w.Now), 50*time.Second)
	l.want("UDP kept", l.tab.Timeouts().UDP, 300*time.Second)
}

// Cache entries of lblc end after a day unused, at the full look every half hour.
func TestLBLCForgetsAfterADay(t *testing.T) {
	for _, name := range []string{"lblc", "lblcr"} {
		l := tcpLab(t, name)
		l.add(1, 1)
		l.picks(1)
		cached := func() int { p, _ := l.tab.Next(l.w, l.key, l.client(1), l.virtual()); return len(p.Before.Cached) }
		l.pass(23*time.Hour + 50*time.Minute)
		l.want(name+" before", cached(), 1)
		l.pass(45 * time.Minute)
		l.want(name+" after", cached(), 0)
	}
}

// A set of lblcr loses its most loaded member when it has not changed for a day.
func TestLBLCRShrinksItsSets(t *testing.T) {
	l := tcpLab(t, "lblcr")
	l.check(l.tab.SetSysctl("lblcr_expiration", "3600"))
	l.add(1, 2)
	l.add(2, 2)
	l.want("grows when 2 is overfull and 1 idle", l.picks(4), "2221")
	p, _ := l.tab.Next(l.w, l.key, l.client(1), l.virtual())
	l.want("members", len(p.Before.Cached), 2)
	for range 4 { // used, so that the entry itself does not end
		l.pass(20 * time.Minute)
		l.picks(1)
	}
	p, _ = l.tab.Next(l.w, l.key, l.client(1), l.virtual())
	l.want("members after an hour", len(p.Before.Cached), 1)
}
