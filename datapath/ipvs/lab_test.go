package ipvs

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath/conntrack"
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// lab is a director with one service and clients around it. Servers are written by their last number: 1 is 10.2.0.1:8080.
type lab struct {
	*testing.T
	tab   *Table
	key   ServiceKey
	w     *netfilter.Walk
	proto packet.Protocol
	v6    bool
	ports uint16
}

func newLab(t *testing.T, proto packet.Protocol, v6 bool, scheduler string, change ...func(*ServiceConfig)) *lab {
	t.Helper()
	l := &lab{T: t, tab: NewTable(DefaultSysctls()), w: clientWalk(), proto: proto, v6: v6, ports: 30000}
	c := ServiceConfig{Key: AddressService(proto, l.virtual()), Scheduler: scheduler}
	for _, f := range change {
		f(&c)
	}
	l.key = c.Key
	l.check(l.tab.AddService(c))
	return l
}

func tcpLab(t *testing.T, scheduler string, change ...func(*ServiceConfig)) *lab {
	return newLab(t, packet.TCP, false, scheduler, change...)
}

func (l *lab) check(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

func (l *lab) addr(v4 string, last int) netip.Addr {
	a := netip.MustParseAddr(v4)
	b := a.As4()
	b[3] = byte(last)
	if l.v6 {
		return netip.AddrFrom16([16]byte{0xfd, 4: b[0], 5: b[1], 14: b[2], 15: b[3]})
	}
	return netip.AddrFrom4(b)
}

func (l *lab) virtual() netip.AddrPort     { return netip.AddrPortFrom(l.addr("10.9.0.0", 10), 80) }
func (l *lab) server(n int) netip.AddrPort { return netip.AddrPortFrom(l.addr("10.2.0.0", n), 8080) }
func (l *lab) client(n int) netip.AddrPort {
	l.ports++
	return netip.AddrPortFrom(l.addr("10.1.0.0", n), l.ports)
}
func persist(d time.Duration) func(*ServiceConfig) {
	return func(c *ServiceConfig) { c.Persistence = d }
}

// add adds servers of the given weights, or of weight 1.
func (l *lab) add(n int, weight int, thresholds ...uint32) {
	l.Helper()
	c := DestinationConfig{Addr: l.server(n), Weight: weight}
	if len(thresholds) > 0 {
		c.Upper = thresholds[0]
	}
	if len(thresholds) > 1 {
		c.Lower = thresholds[1]
	}
	l.check(l.tab.AddDestination(l.key, c))
}

func (l *lab) edit(n int, weight int, thresholds ...uint32) {
	l.Helper()
	c := DestinationConfig{Addr: l.server(n), Weight: weight}
	if len(thresholds) > 0 {
		c.Upper = thresholds[0]
	}
	l.check(l.tab.EditDestination(l.key, c))
}

func (l *lab) del(n int) { l.Helper(); l.check(l.tab.DeleteDestination(l.key, l.server(n))) }

func (l *lab) pass(d time.Duration) {
	l.w.Now += d
	l.tab.Advance(l.w.Now)
}

// flow is one client's socket.
type labFlow struct {
	src, dst, server netip.AddrPort
	mark             uint32
}

func (l *lab) send(f *labFlow, flags packet.TCPFlags, chunk packet.SCTPChunk) Result {
	p := packet.Packet{Src: f.src, Dst: f.dst, Proto: l.proto, TCPFlags: flags, SCTPChunk: chunk, Mark: f.mark, LengthBytes: 60}
	if l.proto != packet.TCP {
		p.TCPFlags = 0
	}
	if l.proto != packet.SCTP {
		p.SCTPChunk = 0
	}
	l.w.Hook = netfilter.Input
	l.w.Rejection = netfilter.Rejection{}
	r := l.tab.Request(l.w, &p)
	f.server = netip.AddrPort{}
	if r.Verdict == netfilter.Stolen {
		f.server = p.Dst
		if !p.Internal {
			l.Error("a forwarded packet is not marked")
		}
	}
	return r
}

// reply sends a packet of the server and returns it as it leaves the director.
func (l *lab) reply(f *labFlow, flags packet.TCPFlags, chunk packet.SCTPChunk) packet.Packet {
	p := packet.Packet{Src: f.server, Dst: f.src, Proto: l.proto, TCPFlags: flags, SCTPChunk: chunk, LengthBytes: 60}
	l.w.Hook = netfilter.Forward
	l.tab.Reply(l.w, &p)
	return p
}

// number is the last number of a server's address, 0 for none.
func number(a netip.AddrPort) int {
	if !a.IsValid() {
		return 0
	}
	b := a.Addr().AsSlice()
	return int(b[len(b)-1])
}

// open opens a connection of client n and returns it with the server's number, 0 when refused.
func (l *lab) open(n int) (*labFlow, int) {
	l.Helper()
	f := &labFlow{src: l.client(n), dst: l.virtual()}
	return f, l.start(f)
}

func (l *lab) start(f *labFlow) int {
	l.Helper()
	r := l.send(f, packet.SYN, packet.SCTPInit)
	if r.Verdict != netfilter.Stolen {
		return 0
	}
	server := f.server
	l.reply(f, packet.SYN|packet.ACK, packet.SCTPInitAck)
	if l.proto == packet.TCP {
		l.send(f, packet.ACK, 0)
	}
	f.server = server
	return number(server)
}

// picks opens n connections of different clients and returns the servers' numbers as digits.
func (l *lab) picks(n int) string {
	var b strings.Builder
	for i := range n {
		_, s := l.open(100 + i)
		b.WriteByte(byte('0' + s))
	}
	return b.String()
}

func (l *lab) want(what string, got, want any) {
	l.Helper()
	if got != want {
		l.Errorf("%s: %v, want %v", what, got, want)
	}
}

// counters is a server's active, inactive and persistent count.
func (l *lab) counters(n int) [3]int {
	d := l.tab.Service(l.key).find(l.server(n))
	return [3]int{d.Active, d.Inactive, d.Persistent}
}

func (l *lab) rst(f *labFlow) { l.send(f, packet.RST|packet.ACK, packet.SCTPAbort) }

func confirmedConn() *conntrack.Conn { return &conntrack.Conn{Status: conntrack.Confirmed} }
