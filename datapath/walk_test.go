package datapath_test

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/route"
	"github.com/svclab/svclab/datapath/share"
)

// TestWalk runs the stories in testdata/walk. Each file says where its expectations come from; none is the model's own
// output accepted unread. Commands:
//
//	node [localnet] [podcidr=P]     a fresh node: eth0 with 192.168.10.11 and fd00:10::11, pod0 with the Pod CIDRs
//	rules [family=ipv6] [noflush]   the input is given to iptables-restore
//	recv in=IF [at=T] [draws=W,…]   a packet arrives: PROTO SRC > DST [FLAGS]
//	send [at=T] [draws=W,…]         a local socket sends it
//	shares in=IF                    every outcome of such a packet, exactly
//	save [family=ipv6]              rules with their counters, those with zero packets left out
//	conns                           the connections, one a line
func TestWalk(t *testing.T) {
	datadriven.Walk(t, "testdata/walk", func(t *testing.T, path string) {
		var s story
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return s.run(t, d)
		})
	})
}

type story struct {
	node  *datapath.Node
	now   time.Duration
	trace netfilter.Trace
}

func (s *story) run(t *testing.T, d *datadriven.TestData) string {
	switch d.Cmd {
	case "node":
		r := route.New()
		r.AddInterface(route.Interface{Name: "eth0"})
		r.AddAddress("eth0", netip.MustParsePrefix("192.168.10.11/24"))
		r.AddAddress("eth0", netip.MustParsePrefix("fd00:10::11/64"))
		r.AddInterface(route.Interface{Name: "pod0"})
		for _, p := range []string{"10.244.1.0/24", "fd00:244:1::/64"} {
			r.AddRoute(route.Route{Prefix: netip.MustParsePrefix(p), Interface: "pod0"})
		}
		r.AddRoute(route.Route{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Interface: "eth0"})
		r.AddRoute(route.Route{Prefix: netip.MustParsePrefix("::/0"), Interface: "eth0"})
		p := datapath.DefaultProfile()
		p.RouteLocalnet = d.HasArg("localnet")
		s.node, s.now = datapath.NewNode(p, r), 0
		return "ok"
	case "rules":
		if err := s.node.Apply(datapath.IPTablesRestore{Family: family(t, d), NoFlush: d.HasArg("noflush"), Text: d.Input + "\n"}); err != nil {
			return "error: " + err.Error()
		}
		return "ok"
	case "recv", "send":
		return s.packet(t, d)
	case "shares":
		return s.shares(t, d)
	case "save":
		var b strings.Builder
		for _, l := range strings.Split(s.node.Linked(family(t, d)).Print(true), "\n") {
			if strings.HasPrefix(l, "[") && !strings.HasPrefix(l, "[0:") {
				fmt.Fprintln(&b, l)
			}
		}
		return b.String()
	case "conns":
		var b strings.Builder
		for c := range s.node.Conns.All() {
			fmt.Fprintf(&b, "%s; reply %s\n", c.Original, c.Reply)
		}
		return b.String()
	}
	t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
	return ""
}

func family(t *testing.T, d *datadriven.TestData) packet.Family {
	var f string
	d.MaybeScanArgs(t, "family", &f)
	if f == "ipv6" {
		return packet.IPv6
	}
	return packet.IPv4
}

func (s *story) packet(t *testing.T, d *datadriven.TestData) string {
	p := parsePacket(t, d)
	var at string
	if d.MaybeScanArgs(t, "at", &at) {
		v, err := time.ParseDuration(at)
		if err != nil {
			t.Fatalf("%s: %v", d.Pos, err)
		}
		s.now = v
	}
	words := &wordList{t: t, pos: d.Pos}
	for _, a := range d.CmdArgs {
		if a.Key == "draws" {
			for _, v := range a.Vals {
				w, err := strconv.ParseUint(v, 0, 32)
				if err != nil {
					t.Fatalf("%s: %v", d.Pos, err)
				}
				words.words = append(words.words, uint32(w))
			}
		}
	}
	s.node.SetSource(netfilter.Words(words.next))
	s.trace.Steps = nil
	s.node.SetTrace(&s.trace)
	s.node.Advance(s.now)
	var disp datapath.Disposition
	if d.Cmd == "send" {
		disp = s.node.Send(s.now, &p)
	} else {
		var in string
		d.ScanArgs(t, "in", &in)
		disp = s.node.Receive(s.now, in, &p)
	}
	if len(words.words) > 0 {
		t.Errorf("%s: %d of the words given were not drawn", d.Pos, len(words.words))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s > %s", disp.Fate, p.Src, p.Dst)
	switch {
	case disp.Out != "":
		fmt.Fprintf(&b, " by %s", disp.Out)
	case disp.Fate == datapath.Rejected:
		fmt.Fprintf(&b, " with %s: %s > %s", disp.With.With, disp.Answer.Src, disp.Answer.Dst)
	case disp.Reason != "":
		fmt.Fprintf(&b, ": %s", disp.Reason)
	}
	if p.Mark != 0 {
		fmt.Fprintf(&b, " mark 0x%x", p.Mark)
	}
	fmt.Fprintf(&b, "; %d draws", disp.Work.Draws)
	var via []string
	for _, st := range s.trace.Steps {
		if st.Kind == netfilter.StepRule && st.Matched && strings.HasPrefix(st.Result, "jump ") {
			via = append(via, strings.TrimPrefix(st.Result, "jump "))
		}
	}
	if len(via) > 0 {
		fmt.Fprintf(&b, "\nvia %s", strings.Join(via, " "))
	}
	return b.String()
}

func (s *story) shares(t *testing.T, d *datadriven.TestData) string {
	var in string
	d.MaybeScanArgs(t, "in", &in)
	s.node.SetTrace(nil)
	s.node.SetSource(netfilter.Words(func() uint32 { t.Fatal("a share was sampled"); return 0 }))
	outs, err := share.Of(s.node, s.now, in, parsePacket(t, d))
	if err != nil {
		return "error: " + err.Error()
	}
	var b strings.Builder
	for _, o := range outs {
		fmt.Fprintf(&b, "%s %s", o.Probability, o.Fate)
		if o.Endpoint.IsValid() {
			fmt.Fprintf(&b, " %s", o.Endpoint)
		}
		if o.Masquerade {
			b.WriteString(" masqueraded")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

type wordList struct {
	t     *testing.T
	pos   string
	words []uint32
}

func (w *wordList) next() uint32 {
	if len(w.words) == 0 {
		w.t.Fatalf("%s: a draw without a word given", w.pos)
	}
	v := w.words[0]
	w.words = w.words[1:]
	return v
}

func parsePacket(t *testing.T, d *datadriven.TestData) packet.Packet {
	f := strings.Fields(d.Input)
	if len(f) < 4 || f[2] != ">" {
		t.Fatalf("%s: want PROTO SRC > DST, got %q", d.Pos, d.Input)
	}
	proto, err := packet.ParseTransport(f[0])
	if err != nil {
		t.Fatalf("%s: %v", d.Pos, err)
	}
	p := packet.Packet{Proto: proto, Src: netip.MustParseAddrPort(f[1]), Dst: netip.MustParseAddrPort(f[3]), TTL: 64, LengthBytes: 60}
	switch proto {
	case packet.TCP:
		p.TCPFlags = packet.SYN
	case packet.SCTP:
		p.SCTPChunk = packet.SCTPInit
	}
	for _, w := range f[4:] {
		switch w {
		case "syn+ack":
			p.TCPFlags = packet.SYN | packet.ACK
		case "ack":
			p.TCPFlags = packet.ACK
		case "fin":
			p.TCPFlags = packet.FIN | packet.ACK
		case "rst":
			p.TCPFlags = packet.RST
		case "init-ack":
			p.SCTPChunk = packet.SCTPInitAck
		default:
			t.Fatalf("%s: unknown flag %q", d.Pos, w)
		}
	}
	return p
}
