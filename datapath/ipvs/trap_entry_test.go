package ipvs

import (
	"testing"
	"time"

	"net/netip"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

func TestPersistenceIgnoresWeightAndThresholds(t *testing.T) {
	l := tcpLab(t, "rr", persist(time.Minute))
	l.add(1, 1)
	l.add(2, 1, 1)
	_, s := l.open(7)
	l.want("first", s, 2)
	l.edit(2, 0, 1)
	_, s = l.open(7)
	l.want("weight 0 and overloaded", s, 2)
	_, s = l.open(8)
	l.want("another client", s, 1)
}

func TestATemplateIsHeldByItsConnections(t *testing.T) {
	l := tcpLab(t, "rr", persist(5*time.Second))
	l.add(1, 1)
	l.open(1)
	l.pass(7 * time.Second)
	var ct *Conn
	for _, c := range l.tab.Conns() {
		if c.Template {
			ct = c
		}
	}
	l.want("left", ct.Left(l.w.Now), 58*time.Second)
	l.open(1)
	l.want("left after the next connection", ct.Left(l.w.Now), 60*time.Second)
}

func TestMaskedPersistenceSchedulesOncePerNet(t *testing.T) {
	l := tcpLab(t, "rr", persist(time.Minute), func(c *ServiceConfig) { c.MaskBits = 24 })
	l.add(1, 1)
	l.add(2, 1)
	l.want("one net", l.picks(4), "2222")
	f := &labFlow{src: netip.MustParseAddrPort("10.1.1.1:1000"), dst: l.virtual()}
	l.want("another net", l.start(f), 1)
}

func TestAMarkMapsPortsOnlyWithoutPersistence(t *testing.T) {
	for _, c := range []struct {
		persistence time.Duration
		port        uint16
		second      int
	}{{0, 8080, 1}, {time.Minute, 443, 2}} {
		l := tcpLab(t, "rr", persist(c.persistence), func(s *ServiceConfig) { s.Key = MarkService(packet.IPv4, 5) })
		l.add(1, 1)
		l.add(2, 1)
		f := &labFlow{src: l.client(1), dst: netip.MustParseAddrPort("10.9.7.7:443"), mark: 5}
		l.want("server", l.start(f), 2)
		l.want("port", f.server.Port(), c.port)
		// One template for all addresses and ports of the mark.
		f = &labFlow{src: l.client(1), dst: netip.MustParseAddrPort("10.9.7.8:80"), mark: 5}
		l.want("server of another address", l.start(f), c.second)
	}
}

func TestRefusalIsICMPAlsoForTCP(t *testing.T) {
	matrix(t, func(t *testing.T, proto packet.Protocol, v6 bool) {
		l := newLab(t, proto, v6, "rr")
		l.add(1, 0)
		f := &labFlow{src: l.client(1), dst: l.virtual()}
		r := l.send(f, packet.SYN, packet.SCTPInit)
		l.want("verdict", r.Verdict, netfilter.Reject)
		with := "icmp-port-unreachable"
		if v6 {
			with = "icmp6-port-unreachable"
		}
		l.want("answer", l.w.Rejection.With, with)
	})
}

func TestOverloadIsClearedBelowThreeQuarters(t *testing.T) {
	l := tcpLab(t, "rr")
	l.add(1, 1, 4)
	flows := []*labFlow{}
	for i := range 4 {
		f, _ := l.open(i)
		flows = append(flows, f)
	}
	l.want("at the threshold", l.picks(1), "0")
	d := l.tab.Service(l.key).find(l.server(1))
	l.edit(1, 9, 4)
	l.want("editing the weight leaves it", d.Overload, true)
	l.rst(flows[0])
	l.pass(10 * time.Second)
	l.want("3 of 4 is not below", d.Overload, true)
	l.rst(flows[1])
	l.pass(9 * time.Second)
	l.want("closed, and not expired", d.Overload, true)
	l.pass(time.Second)
	l.want("2 of 4", d.Overload, false)
	l.picks(2)
	l.want("full again", d.Overload, true)
	l.edit(1, 9, 3)
	l.want("a lower threshold leaves it", d.Overload, true)
	l.edit(1, 9, 5)
	l.want("a higher one clears it", d.Overload, false)
}

func TestTheLowerThresholdClearsOverload(t *testing.T) {
	l := tcpLab(t, "rr")
	l.add(1, 1, 4, 2)
	var flows []*labFlow
	for i := range 4 {
		f, _ := l.open(i)
		flows = append(flows, f)
	}
	d := l.tab.Service(l.key).find(l.server(1))
	for i, want := range []bool{true, true, false} {
		l.rst(flows[i])
		l.pass(10 * time.Second)
		l.want("overload", d.Overload, want)
	}
}

// A server in TIME_WAIT answers a reused port with a challenge ACK; the client resets and tries again: one connection, two
// picks.
func TestOneConnectionMayBePickedTwice(t *testing.T) {
	l := tcpLab(t, "rr")
	for i := 1; i <= 3; i++ {
		l.add(i, 1)
	}
	f, s := l.open(1)
	l.want("first", s, 3)
	l.rst(f)
	l.send(f, packet.SYN, 0) // rescheduled
	l.want("second", number(f.server), 2)
	l.reply(f, packet.ACK, 0) // challenge
	l.send(f, packet.RST, 0)  // CLOSE
	l.send(f, packet.SYN, 0)  // scheduled again
	l.want("third", number(f.server), 1)
}

func TestOnePacketServicesHaveNoHistory(t *testing.T) {
	for _, c := range []struct{ scheduler, want string }{{"lc", "333"}, {"wlc", "333"}, {"rr", "321"}} {
		l := newLab(t, packet.UDP, false, c.scheduler, func(s *ServiceConfig) { s.OnePacket = true })
		l.add(1, 1)
		l.add(2, 1)
		l.add(3, 2)
		got := ""
		f := &labFlow{src: l.client(1), dst: l.virtual()}
		for range 3 {
			l.send(f, 0, 0)
			got += string(rune('0' + number(f.server)))
		}
		l.want(c.scheduler, got, c.want)
		l.want("entries", len(l.tab.Conns()), 0)
		l.want("counters", l.counters(3), [3]int{})
	}
}

func TestUDPIsNeverActive(t *testing.T) {
	for _, c := range []struct{ scheduler, want string }{{"nq", "333"}, {"sed", "111"}, {"ovf", "111"}} {
		l := newLab(t, packet.UDP, false, c.scheduler)
		l.add(1, 3)
		l.add(2, 1)
		l.add(3, 1)
		l.want(c.scheduler, l.picks(3), c.want)
	}
}

func TestADeletedServersPacketsAreDroppedInSilence(t *testing.T) {
	l := tcpLab(t, "rr")
	l.add(1, 1)
	f, _ := l.open(1)
	l.del(1)
	l.want("verdict", l.send(f, packet.ACK, 0).Verdict, netfilter.Drop)
	l.add(1, 1)
	l.want("verdict after it came back", l.send(f, packet.ACK, 0).Verdict, netfilter.Stolen)
}

func TestExpireNodestEndsEntriesOfDeletedServers(t *testing.T) {
	l := newLab(t, packet.UDP, false, "rr")
	l.check(l.tab.SetSysctl("net.ipv4.vs.expire_nodest_conn", "1"))
	l.add(1, 1)
	l.add(2, 1)
	f, s := l.open(1)
	l.want("first", s, 2)
	l.del(2)
	l.send(f, 0, 0)
	l.want("rescheduled", number(f.server), 1)
	tcp := tcpLab(t, "rr")
	tcp.check(tcp.tab.SetSysctl("expire_nodest_conn", "1"))
	tcp.add(1, 1)
	f, _ = tcp.open(1)
	tcp.del(1)
	tcp.want("TCP goes to the local stack", tcp.send(f, packet.ACK, 0).Verdict, netfilter.Continue)
	tcp.pass(time.Millisecond)
	tcp.want("swept", len(tcp.tab.Conns()), 0)
}

// A packet that IPVS forwards is stolen from INPUT and goes on at OUTPUT, marked; FORWARD never sees it.
func TestForwardedPacketsLeaveByOutput(t *testing.T) {
	l := tcpLab(t, "rr")
	l.add(1, 1)
	f := &labFlow{src: l.client(1), dst: l.virtual()}
	r := l.send(f, packet.SYN, 0)
	l.want("verdict", r.Verdict, netfilter.Stolen)
	l.want("next hop", r.NextHop, l.server(1).Addr())
	p := packet.Packet{Src: f.src, Dst: f.server, Proto: packet.TCP, TCPFlags: packet.SYN, Internal: true}
	l.w.Hook = netfilter.Output
	l.want("ignored later", l.tab.Request(l.w, &p).Verdict, netfilter.Continue)
}

func TestTwosFavoursTheNewest(t *testing.T) {
	l := tcpLab(t, "twos")
	for i := 1; i <= 3; i++ {
		l.add(i, 1)
	}
	for i, want := range []uint64{8, 4, 4} { // of 16: one half, a quarter, a quarter
		c := l.tab.Chances(l.key)[i]
		l.want("chance", [2]uint64{c.Num, c.Den}, [2]uint64{want, 16})
	}
}

func TestAGivenUpTemplateStaysVisible(t *testing.T) {
	l := tcpLab(t, "rr", persist(time.Minute))
	l.add(1, 1)
	l.add(2, 1)
	l.open(1)
	l.del(2)
	_, s := l.open(1)
	l.want("the next server", s, 1)
	found := false
	for _, c := range l.tab.Conns() {
		if c.Virtual.Port() == 65535 && c.Server.Port() == 65535 && c.Template {
			found = true
		}
	}
	l.want("on port 65535", found, true)
	l.want("counted", l.tab.Trash()[0].Persistent, 1)
}

func TestForAnInstantTwoEntriesOfOneTupleExist(t *testing.T) {
	l := tcpLab(t, "rr")
	l.add(1, 1)
	l.add(2, 1)
	f, _ := l.open(1)
	l.rst(f)
	l.send(f, packet.SYN, 0)
	l.want("entries", len(l.tab.Conns()), 2)
	l.send(f, packet.ACK, 0)
	l.want("the newest is found", number(f.server), 1)
	l.pass(time.Millisecond)
	l.want("entries after the tick", len(l.tab.Conns()), 1)
	l.want("counters of the old server", l.counters(2), [3]int{})
}

func TestASYNFloodDistortsLoads(t *testing.T) {
	for _, s := range []string{"lc", "wlc", "sed", "nq"} {
		l := tcpLab(t, s)
		l.add(1, 1)
		f := &labFlow{src: l.client(9), dst: l.virtual()}
		for range 5 {
			f.src = l.client(9)
			l.send(f, packet.SYN, 0)
		}
		l.add(2, 1)
		l.want(s, l.picks(5), "22222")
	}
}

func TestARecreatedServiceFindsItsOldServers(t *testing.T) {
	l := tcpLab(t, "rr")
	l.add(1, 1)
	l.picks(3)
	l.check(l.tab.DeleteService(l.key))
	l.check(l.tab.AddService(ServiceConfig{Key: l.key, Scheduler: "lc"}))
	l.add(1, 1)
	l.want("counters", l.counters(1), [3]int{3, 0, 0})
}

func TestConntrackIsThrownAwayOrAltered(t *testing.T) {
	l := tcpLab(t, "rr")
	l.add(1, 1)
	f := &labFlow{src: l.client(1), dst: l.virtual()}
	l.want("off", l.send(f, packet.SYN, 0).Conntrack, Untrack)
	l.check(l.tab.SetSysctl("conntrack", "1"))
	f.src = l.client(1)
	c := confirmedConn()
	c.Status = 0
	l.w.Conn = c
	r := l.send(f, packet.SYN, 0)
	l.want("on", r.Conntrack, AlterReply)
	l.want("reply source", r.ReplySource, l.server(1))
}

func TestReuseDropsASYNOfAConfirmedConntrackEntry(t *testing.T) {
	l := tcpLab(t, "rr")
	l.check(l.tab.SetSysctl("conntrack", "1"))
	l.add(1, 1)
	l.add(2, 1)
	f, _ := l.open(1)
	l.rst(f)
	l.w.Conn = confirmedConn()
	l.want("first SYN", l.send(f, packet.SYN, 0).Verdict, netfilter.Drop)
	l.pass(time.Second)
	l.send(f, packet.SYN, 0)
	l.want("a second later", number(f.server), 1)
}

func TestConnReuseModeZeroKeepsTheServer(t *testing.T) {
	l := tcpLab(t, "rr")
	l.check(l.tab.SetSysctl("conn_reuse_mode", "0"))
	l.add(1, 1)
	l.add(2, 1)
	f, s := l.open(1)
	l.rst(f)
	l.send(f, packet.SYN, 0)
	l.want("server", number(f.server), s)
}

func TestSourcePort20IsNeverScheduled(t *testing.T) {
	l := tcpLab(t, "rr")
	l.add(1, 1)
	f := &labFlow{src: withPort(l.client(1), 20), dst: l.virtual()}
	l.want("verdict", l.send(f, packet.SYN, 0).Verdict, netfilter.Continue)
}

// matrix runs a test for IPv4 and IPv6 and every transport.
func matrix(t *testing.T, f func(t *testing.T, proto packet.Protocol, v6 bool)) {
	for _, v6 := range []bool{false, true} {
		for _, proto := range []packet.Protocol{packet.TCP, packet.UDP, packet.SCTP} {
			name := proto.String() + "4"
			if v6 {
				name = proto.String() + "6"
			}
			t.Run(name, func(t *testing.T) { f(t, proto, v6) })
		}
	}
}

func TestEntriesUnderATemplateAreNotRescheduled(t *testing.T) {
	l := tcpLab(t, "rr", persist(time.Minute))
	l.add(1, 1)
	l.add(2, 1)
	f, s := l.open(1)
	l.rst(f)
	l.send(f, packet.SYN, 0)
	l.want("server", number(f.server), s)
	l.want("entries", len(l.tab.Conns()), 2) // with the template: the old entry goes on
}

// Replies of a DR server that pass here make the director see both sides (IP_VS_CONN_F_NOOUTPUT is cleared).
func TestDirectRoutingSeesOneSideOnly(t *testing.T) {
	for _, c := range []struct {
		reply bool
		want  string
	}{{false, "FIN_WAIT"}, {true, "CLOSE_WAIT"}} {
		l := tcpLab(t, "rr")
		l.check(l.tab.AddDestination(l.key, DestinationConfig{Addr: withPort(l.server(1), 80), Weight: 1, Forward: DirectRoute}))
		f := &labFlow{src: l.client(1), dst: l.virtual()}
		l.send(f, packet.SYN, 0)
		if c.reply {
			p := packet.Packet{Src: l.virtual(), Dst: f.src, Proto: packet.TCP, TCPFlags: packet.SYN | packet.ACK}
			l.w.Hook = netfilter.Forward
			l.tab.Reply(l.w, &p)
			l.want("source", p.Src, l.virtual())
		}
		l.send(f, packet.ACK, 0)
		l.send(f, packet.FIN|packet.ACK, 0)
		l.want("state after the client's FIN", l.tab.Conns()[0].StateName(), c.want)
	}
}

func TestReuseModeTwoReschedulesFINWAITOfOneSidedEntries(t *testing.T) {
	for _, c := range []struct{ mode, want string }{{"1", "2"}, {"2", "1"}} {
		l := tcpLab(t, "rr")
		l.check(l.tab.SetSysctl("conn_reuse_mode", c.mode))
		for i := 1; i <= 2; i++ {
			l.check(l.tab.AddDestination(l.key, DestinationConfig{Addr: withPort(l.server(i), 80), Weight: 1, Forward: DirectRoute}))
		}
		f := &labFlow{src: l.client(1), dst: l.virtual()}
		l.send(f, packet.SYN, 0)
		l.send(f, packet.ACK, 0)
		l.send(f, packet.FIN|packet.ACK, 0)
		r := l.send(f, packet.SYN, 0)
		l.want("mode "+c.mode, string(rune('0'+number(r.Conn.Server))), c.want)
	}
}

// The kernel would walk the list a thousand million times.
func TestAHeavyOverloadedServerCostsWRRNothing(t *testing.T) {
	l := tcpLab(t, "wrr")
	l.add(1, 1<<30, 1)
	l.add(2, 1)
	l.add(3, 7)
	l.want("picks", l.picks(1), "3") // the weight that the first add left: 1
	l.want("picks", l.picks(20), "21333333323333333233")
}
