package record

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/route"
)

// The recorded network (FORMAT.md): clients on one link of the director, servers on another.
const (
	clientLink  = "clients"
	serverLink  = "servers"
	virtualLink = "virtual" // holds the virtual addresses
)

var (
	directorClients = netip.MustParsePrefix("10.0.1.1/24")
	directorServers = netip.MustParsePrefix("10.0.2.1/24")
	serverNet       = netip.MustParsePrefix("10.2.0.0/16")
	answeringNet    = netip.MustParsePrefix("10.2.0.0/24")
	everywhere      = netip.MustParsePrefix("0.0.0.0/0")
)

// newDirector returns a node with the director's links and routes.
func newDirector() *datapath.Node {
	r := route.New()
	for link, a := range map[string]netip.Prefix{clientLink: directorClients, serverLink: directorServers} {
		r.AddInterface(route.Interface{Name: link})
		r.AddAddress(link, a)
	}
	r.AddInterface(route.Interface{Name: virtualLink, NoARP: true})
	r.AddRoute(route.Route{Prefix: serverNet, Interface: serverLink})
	r.AddRoute(route.Route{Prefix: everywhere, Interface: clientLink})
	return datapath.NewNode(datapath.DefaultProfile(), r)
}

// lengthBytes is the size of a packet, which rules count: a SYN has 20 bytes of options, others 12.
func lengthBytes(proto packet.Protocol, f packet.TCPFlags) uint32 {
	switch {
	case proto != packet.TCP:
		return 30
	case f.Has(packet.SYN):
		return 60
	}
	return 52
}

// request sends a packet of a client to the director and says where it ended: at a server, or nowhere.
func (p *player) request(c *connection, proto packet.Protocol, flags packet.TCPFlags) (netip.AddrPort, datapath.Fate) {
	p.node.Routes.AddAddress(virtualLink, netip.PrefixFrom(c.virtual.Addr(), c.virtual.Addr().BitLen()))
	k := packet.Packet{Src: c.client, Dst: c.virtual, Proto: proto, TCPFlags: flags, Mark: c.mark, LengthBytes: lengthBytes(proto, flags), TTL: 63}
	d := p.node.Receive(p.now, clientLink, &k)
	if d.Fate != datapath.Forwarded {
		return netip.AddrPort{}, d.Fate
	}
	c.peer = k.Src
	if p.forward == ipvs.Masquerade {
		return k.Dst, d.Fate
	}
	return netip.AddrPortFrom(d.NextHop, k.Dst.Port()), d.Fate
}

// reply sends a packet of a connection's server; only masquerading leads it through the director.
func (p *player) reply(c *connection, flags packet.TCPFlags) {
	if p.forward != ipvs.Masquerade {
		return
	}
	k := packet.Packet{Src: c.server, Dst: c.peer, Proto: packet.TCP, TCPFlags: flags, LengthBytes: lengthBytes(packet.TCP, flags), TTL: 63}
	d := p.node.Receive(p.now, serverLink, &k)
	if d.Fate != datapath.Forwarded || k.Src != c.virtual || k.Dst != c.client {
		p.differ(fmt.Sprintf("a reply %s > %s", c.virtual, c.client), fmt.Sprintf("%s: %s > %s", d.Fate, k.Src, k.Dst))
	}
}

// loadRules loads the rules that the recording shows, which were there from its beginning.
func (p *player) loadRules() error {
	for _, raw := range p.trace.Events {
		kind, a, err := decodeEvent(raw)
		if err != nil || kind != "rules" {
			continue // bad events are told when they are played
		}
		var lines []string
		if a.next(&lines, "lines"); a.err != nil {
			return a.err
		}
		return p.node.Apply(datapath.IPTablesRestore{Family: packet.IPv4, Text: restoreText(lines)})
	}
	return nil
}

// restoreText makes an iptables-restore text of the lines of filter and nat without their headers.
func restoreText(lines []string) string {
	var b strings.Builder
	b.WriteString("*filter\n")
	for _, l := range lines {
		if strings.HasPrefix(l, ":PREROUTING") {
			b.WriteString("COMMIT\n*nat\n")
		}
		if strings.HasPrefix(l, "[") {
			_, l, _ = strings.Cut(l, "] ")
		} else if name, _, ok := strings.Cut(l, " ["); ok {
			l = name + " [0:0]"
		}
		b.WriteString(l + "\n")
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

// rules compares the counters of rules and policies.
func (p *player) rules(a *args) {
	var want []string
	a.next(&want, "lines")
	if a.end(); a.err != nil {
		return
	}
	var got []string
	for line := range strings.Lines(p.node.Linked(packet.IPv4).Print(true)) {
		if line = strings.TrimSpace(line); line != "COMMIT" && !strings.HasPrefix(line, "*") {
			got = append(got, line)
		}
	}
	for i := range max(len(want), len(got)) {
		w, g := "no rule", "no rule"
		if i < len(want) {
			w = want[i]
		}
		if i < len(got) {
			g = got[i]
		}
		if w != g {
			p.differ(w, g)
			return
		}
	}
}

// conntrack compares the connection tracking entries of the virtual address.
func (p *player) conntrack(a *args) {
	var lines []string
	a.next(&lines, "lines")
	if a.end(); a.err != nil {
		return
	}
	var want, got []tracked
	for _, l := range lines {
		e, err := parseTracked(l)
		if err != nil {
			a.err = err
			return
		}
		want = append(want, e)
	}
	for c := range p.node.Conns.All() {
		e, err := parseTracked(c.Entry(p.now).String())
		if err != nil {
			a.err = err
			return
		}
		got = append(got, e)
	}
	order := func(a, b tracked) int { return strings.Compare(a.rest, b.rest) }
	slices.SortFunc(want, order)
	slices.SortFunc(got, order)
	for i := range max(len(want), len(got)) {
		var w, g tracked
		if i < len(want) {
			w = want[i]
		}
		if i < len(got) {
			g = got[i]
		}
		if d := w.left - g.left; w.rest != g.rest || d < -time.Second || d > time.Second {
			p.differ(w.String(), g.String())
			return
		}
	}
}

// tracked is a line of /proc/net/nf_conntrack: its seconds, and the words that do not depend on the kernel's configuration.
type tracked struct {
	left time.Duration
	rest string
}

func (t tracked) String() string {
	if t.rest == "" {
		return "no entry"
	}
	return fmt.Sprintf("%d s, %s", t.left/time.Second, t.rest)
}

func parseTracked(line string) (tracked, error) {
	f := strings.Fields(line)
	const seconds = 4
	if len(f) <= seconds {
		return tracked{}, fmt.Errorf("%w: %q is no line of nf_conntrack", ErrBadEvent, quote([]byte(line)))
	}
	d, err := time.ParseDuration(f[seconds] + "s")
	if err != nil {
		return tracked{}, fmt.Errorf("%w: %q has no seconds", ErrBadEvent, quote([]byte(line)))
	}
	f = slices.DeleteFunc(slices.Delete(f, seconds, seconds+1), func(w string) bool {
		return strings.HasPrefix(w, "zone=") || strings.HasPrefix(w, "use=")
	})
	return tracked{d, strings.Join(f, " ")}, nil
}
