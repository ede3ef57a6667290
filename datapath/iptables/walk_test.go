package iptables

import (
	"net/netip"
	"testing"

	"github.com/svclab/svclab/datapath/conntrack"
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// node stands in for a datapath.Node: one family, one table walked at a time.
type node struct {
	t  testing.TB
	l  *Linked
	rs *Ruleset
	w  netfilter.Walk
}

// draws is a Source with words given by hand; none left fails the test.
type draws struct {
	t     testing.TB
	words []uint32
}

func (d *draws) next() uint32 {
	if len(d.words) == 0 {
		d.t.Fatal("a draw that nobody expected")
	}
	w := d.words[0]
	d.words = d.words[1:]
	return w
}
func (d *draws) Chance(p31 uint32) bool { return netfilter.Words(d.next).Chance(p31) }
func (d *draws) Intn(n int) int         { return netfilter.Words(d.next).Intn(n) }

// routes makes 192.168.10.11 and fd00:10::11 local, on eth0.
type routes struct{}

func (routes) AddrType(a netip.Addr, _ string) netfilter.AddrType {
	if a == netip.MustParseAddr("192.168.10.11") || a == netip.MustParseAddr("fd00:10::11") || a.IsLoopback() {
		return netfilter.Local
	}
	return netfilter.Unicast
}
func (routes) OutputInterface(netip.Addr) string { return "eth0" }
func (routes) SourceAddress(_ string, to netip.Addr) netip.Addr {
	if to.Is6() {
		return netip.MustParseAddr("fd00:10::11")
	}
	return netip.MustParseAddr("192.168.10.11")
}

func newNode(t testing.TB, f packet.Family, rules string, env LinkEnv) *node {
	t.Helper()
	n := &node{t: t, rs: NewRuleset(f)}
	if err := n.rs.Restore("rules", rules, RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	var err error
	if n.l, err = Link(n.rs, env); err != nil {
		t.Fatal(err)
	}
	n.w = netfilter.Walk{Source: &draws{t: t}, Route: routes{}}
	return n
}

func (n *node) draws(words ...uint32) { n.w.Source = &draws{n.t, words} }

// relink changes the rules and links them again.
func (n *node) relink(change func(*Ruleset) error) {
	n.t.Helper()
	n.rs = n.rs.Clone()
	if err := change(n.rs); err != nil {
		n.t.Fatal(err)
	}
	var err error
	if n.l, err = Relink(n.l, n.rs); err != nil {
		n.t.Fatal(err)
	}
}

func pkt(proto packet.Protocol, src, dst string) *packet.Packet {
	p := &packet.Packet{Src: netip.MustParseAddrPort(src), Dst: netip.MustParseAddrPort(dst), Proto: proto, LengthBytes: 60, TTL: 64}
	switch proto {
	case packet.TCP:
		p.TCPFlags = packet.SYN
	case packet.SCTP:
		p.SCTPChunk = packet.SCTPInit
	}
	return p
}

// run walks a table at a hook with a new connection each time and returns the verdict and where DNAT sends it.
func (n *node) run(id TableID, h netfilter.Hook, p *packet.Packet) (netfilter.Verdict, string) {
	n.w.Hook = h
	tb := conntrack.NewTable(conntrack.Config{TCPLoose: true})
	n.w.Conn, n.w.Info, _ = tb.In(n.w.Now, p, nil)
	v := n.l.Run(&n.w, id, h, p)
	if n.w.Conn == nil {
		return v, ""
	}
	return v, n.w.Conn.Reply.Src.String()
}
