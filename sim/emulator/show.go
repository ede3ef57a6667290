package emulator

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"

	"github.com/svclab/svclab/datapath/conntrack"
	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/share"
	"github.com/svclab/svclab/sim/replay"
	"github.com/svclab/svclab/sim/report"
)

// Rules is what iptables-save -c, or ip6tables-save -c, prints of a node as it is; "" is the local one.
func (e *Emulator) Rules(node string, f packet.Family) (string, error) {
	return e.show(node, func(s site) string { return s.Node.Linked(f).Print(true) })
}

// IPVS is what ipvsadm -L -n prints of a node as it is, in a view.
func (e *Emulator) IPVS(node string, view ipvs.ListFormat) (string, error) {
	return e.show(node, func(s site) string { return s.Node.IPVS.List(view) })
}

// Conntrack is what conntrack -L prints of a node as it is.
func (e *Emulator) Conntrack(node string) (string, error) {
	return e.show(node, func(s site) string { return s.Node.Conns.List(e.now(), conntrack.FormTool) })
}

func (e *Emulator) show(node string, text func(site) string) (out string, err error) {
	e.do(func() {
		var s site
		if s, err = e.siteNamed(node); err == nil {
			s.Node.Advance(e.now())
			out = text(s)
		}
	})
	return out, err
}

// Status is an emulator at a glance.
type Status struct {
	SchemaVersion string       `json:"schemaVersion"`
	Kind          string       `json:"kind"` // "EmulatorStatus"
	Node          string       `json:"node"`
	Mode          string       `json:"mode"`
	Client        string       `json:"client"`
	From          []string     `json:"from"`        // the client's addresses
	Nameservers   []string     `json:"nameservers"` // of the client
	Services      int          `json:"services"`
	Endpoints     int          `json:"endpoints"`
	Listening     int          `json:"listening"`   // addresses and ports behind which something stands
	Tracked       int          `json:"connections"` // entries of connection tracking
	Packets       int64        `json:"packets"`     // that walked the node
	Holds         string       `json:"holds"`
	Doors         []DoorStatus `json:"doors"`
}

// DoorStatus is one door.
type DoorStatus struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Open    int    `json:"open"` // connections
}

// Status tells how the emulator stands.
func (e *Emulator) Status() Status {
	s := Status{SchemaVersion: report.SchemaVersion, Kind: "EmulatorStatus", Client: e.client.Name, From: []string{}, Nameservers: []string{}, Doors: []DoorStatus{}}
	for _, a := range e.client.Addrs {
		s.From = append(s.From, a.String())
	}
	for _, a := range e.client.Conf.Nameservers {
		s.Nameservers = append(s.Nameservers, a.String())
	}
	e.do(func() {
		e.subject.Node.Advance(e.now())
		s.Node, s.Mode, s.Services, s.Holds = e.subject.Host.Name, string(e.subject.Mode), len(e.subject.State.Services), e.subject.Inventory()
		for range e.subject.Node.Conns.All() {
			s.Tracked++
		}
		for _, sl := range e.subject.State.Slices {
			s.Endpoints += len(sl.Endpoints)
		}
	})
	s.Packets = e.tap.packets.Load()
	e.mu.Lock()
	defer e.mu.Unlock()
	s.Listening = len(e.places)
	for name, d := range e.doors {
		s.Doors = append(s.Doors, DoorStatus{name, d.l.Addr().String(), d.count()})
	}
	slices.SortFunc(s.Doors, func(a, b DoorStatus) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// String is the status as a page.
func (s Status) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "node %s in mode %s: %s\n", s.Node, s.Mode, s.Holds)
	fmt.Fprintf(&b, "client %s, %s\n", s.Client, strings.Join(s.From, ", "))
	fmt.Fprintf(&b, "%d Services, %d endpoints, %d addresses and ports listening\n", s.Services, s.Endpoints, s.Listening)
	fmt.Fprintf(&b, "%d connections tracked, %d packets walked\n", s.Tracked, s.Packets)
	for _, d := range s.Doors {
		fmt.Fprintf(&b, "%s at %s: %d open\n", d.Name, d.Address, d.Open)
	}
	return b.String()
}

// FrontShares is where the connections to one front end of a Service went, and where the next one would go.
type FrontShares struct {
	Service     string         `json:"service"`
	To          string         `json:"to"`
	Proto       string         `json:"proto"`
	Connections int64          `json:"connections"` // so far
	Rejected    int64          `json:"rejected"`
	Endpoints   []PartOfShares `json:"endpoints"`
}

// PartOfShares is one endpoint's part.
type PartOfShares struct {
	Endpoint    string `json:"endpoint"`
	Connections int64  `json:"connections"`
	Probability string `json:"probability"` // of the client's next new connection, exact; "0" for an endpoint that gets none

	share float64
}

// Shares tells, for every front end of a Service, what its endpoints got so far beside their exact shares as the node stands. The
// shares are those of the client's next new connection.
func (e *Emulator) Shares() (out []FrontShares, err error) {
	e.tap.mu.Lock()
	picks := map[place]map[netip.AddrPort]int64{}
	for f, m := range e.tap.picks {
		c := map[netip.AddrPort]int64{}
		for a, n := range m {
			c[a] = n
		}
		picks[f] = c
	}
	e.tap.mu.Unlock()
	e.do(func() {
		e.subject.Node.Advance(e.now())
		for _, f := range families {
			ports := e.subject.State.Ports(f)
			for i := range ports {
				p := &ports[i]
				for n, to := range e.subject.FrontEnds(f, p) {
					at := place{to, p.Protocol}
					if n > 0 && picks[at] == nil {
						continue // of front ends beside the cluster IP, those that were used
					}
					var one FrontShares
					if one, err = e.sharesOf(p.PortName.String(), at, picks[at]); err != nil {
						return
					}
					out = append(out, one)
				}
			}
		}
	})
	return out, err
}

func (e *Emulator) sharesOf(service string, at place, picks map[netip.AddrPort]int64) (FrontShares, error) {
	s := FrontShares{Service: service, To: at.at.String(), Proto: at.proto.String(), Endpoints: []PartOfShares{}}
	exact := map[netip.AddrPort]share.Fraction{}
	if i := slices.IndexFunc(e.client.Addrs, func(a netip.Addr) bool { return a.Is4() == at.at.Addr().Is4() }); i >= 0 {
		src := e.client.Addrs[i]
		p := replay.FirstPacket(at.proto, netip.AddrPortFrom(src, exampleClientPort), at.at)
		outcomes, err := share.Of(e.subject.Node, e.now(), e.subject.Host.Ingress(src), p)
		if err != nil {
			return s, err
		}
		for _, o := range outcomes {
			if o.Endpoint.IsValid() {
				exact[o.Endpoint] = exact[o.Endpoint].Add(o.Probability)
			}
		}
	}
	all := map[netip.AddrPort]bool{}
	for a := range exact {
		all[a] = true
	}
	for a, n := range picks {
		if !a.IsValid() {
			s.Rejected = n
			continue
		}
		s.Connections += n
		all[a] = true
	}
	var list []netip.AddrPort
	for a := range all {
		list = append(list, a)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Compare(list[j]) < 0 })
	for _, a := range list {
		part := PartOfShares{Endpoint: a.String(), Connections: picks[a], Probability: "0"}
		if f, ok := exact[a]; ok {
			part.Probability, part.share = f.String(), f.Float64()
		}
		s.Endpoints = append(s.Endpoints, part)
	}
	return s, nil
}

// exampleClientPort is the source port of the connection whose shares are told.
const exampleClientPort = 40000

// SharesText is shares as a page.
func SharesText(list []FrontShares) string {
	var b strings.Builder
	for _, s := range list {
		fmt.Fprintf(&b, "%s  %s/%s  %d connections so far", s.Service, s.To, s.Proto, s.Connections)
		if s.Rejected > 0 {
			fmt.Fprintf(&b, ", %d rejected", s.Rejected)
		}
		b.WriteByte('\n')
		for _, p := range s.Endpoints {
			got := "-"
			if s.Connections > 0 {
				got = fmt.Sprintf("%.2f %%", 100*float64(p.Connections)/float64(s.Connections))
			}
			fmt.Fprintf(&b, "  %-28s %8d  %9s   next %.2f %%  %s\n", p.Endpoint, p.Connections, got, 100*p.share, p.Probability)
		}
		if len(s.Endpoints) == 0 {
			b.WriteString("  no endpoint takes a new connection\n")
		}
	}
	return b.String()
}
