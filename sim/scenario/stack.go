package scenario

import (
	"fmt"
	"strconv"
	"strings"
)

// Links are the wires between hosts and nodes, in worlds that have wires.
type Links struct {
	At        Pos        `yaml:"-"`
	Pods      *Link      `yaml:"pods" doc:"between each Pod and its node"`
	Endpoints *Link      `yaml:"endpoints" doc:"between each endpoint and its node, in place of pods"`
	Nodes     *Link      `yaml:"nodes" doc:"between each node and the network that joins the nodes; no time when absent"`
	Outside   *Link      `yaml:"outside" doc:"between the nodes and everything beyond them: clients outside the cluster, Pods of nodes that are not modelled"`
	Hosts     []HostLink `yaml:"hosts" doc:"of single hosts, in place of the others"`
}

// Link is one wire, the same both ways. What is absent takes no time and loses nothing.
type Link struct {
	At        Pos       `yaml:"-"`
	Delay     Duration  `yaml:"delay" doc:"of each packet, one way; 10us when absent"`
	Jitter    Duration  `yaml:"jitter" doc:"added to the delay, drawn evenly up to this; packets keep their order"`
	Loss      Share     `yaml:"loss" doc:"part of the packets that vanish: 0.1%"`
	Bandwidth Bandwidth `yaml:"bandwidth" doc:"what passes in a second: 100Mbit, 1Gbit; without bound when absent"`
	MTU       int       `yaml:"mtu" doc:"largest packet in bytes; 1500 when absent"`
}

// HostLink is the wire of one host.
type HostLink struct {
	At      Pos  `yaml:"-"`
	Address Addr `yaml:"address,required" doc:"the host's address"`
	Link    Link `yaml:"link,required" doc:"its wire"`
}

// Server says how endpoints answer, in worlds in which that takes time.
type Server struct {
	At           Pos      `yaml:"-"`
	Service      Text     `yaml:"service,required" doc:"endpoints of this Service, as namespace/name"`
	Endpoint     Addr     `yaml:"endpoint" doc:"the endpoint with this address alone"`
	Time         Duration `yaml:"time" doc:"how long a request is worked on; 0 answers at once"`
	Distribution string   `yaml:"distribution" enum:"constant,uniform,exponential,lognormal" doc:"all requests take the time, or it is the mean of this distribution; lognormal has a long tail: a p99 of six means; constant when absent"`
	Workers      int      `yaml:"workers" doc:"requests worked on at once; without bound when absent"`
	Strays       Share    `yaml:"strays" doc:"part of the TCP requests whose answer is followed by a copy with a sequence number out of the connection's window; none when absent"`
	Queue        int      `yaml:"queue" doc:"requests that may wait for a worker; a connection with one more is reset; without bound when absent"`
}

// Resolver is how a client looks names up.
type Resolver struct {
	At        Pos      `yaml:"-"`
	Libc      string   `yaml:"libc" enum:"glibc,musl,musl-1.2.3,go" doc:"whose resolver it is; glibc when absent"`
	Namespace string   `yaml:"namespace" doc:"the client's namespace, which its search list begins with; default when absent"`
	Options   []string `yaml:"options" doc:"options of the Pod's dnsConfig, as in resolv.conf: \"ndots:2\", single-request-reopen"`
	Exact     bool     `yaml:"exact" doc:"the name is asked for as it is, without the search list"`
}

// Names is what is known of names beyond the cluster.
type Names struct {
	At      Pos           `yaml:"-"`
	Outside []OutsideName `yaml:"outside" doc:"names that the servers know to which CoreDNS forwards; no other is known there"`
}

// OutsideName is a name beyond the cluster.
type OutsideName struct {
	At        Pos    `yaml:"-"`
	Name      Text   `yaml:"name,required" doc:"the name"`
	Addresses []Addr `yaml:"addresses,required" doc:"what it stands for: machines that answer"`
	Ports     []int  `yaml:"ports" doc:"TCP and UDP ports at which they listen; all when absent"`
}

// Bandwidth is a number of bits in a second. The zero value is absent.
type Bandwidth int64

func (b *Bandwidth) parse(s string) error {
	t := strings.TrimSuffix(s, "/s")
	for _, u := range []struct {
		suffix string
		bits   int64
	}{{"Gbit", 1e9}, {"Mbit", 1e6}, {"kbit", 1e3}, {"bit", 1}} {
		n, ok := strings.CutSuffix(t, u.suffix)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(n), 64)
		if err != nil || !(v > 0) || v*float64(u.bits) < 1 || v*float64(u.bits) > 1e15 {
			break
		}
		*b = Bandwidth(v * float64(u.bits))
		return nil
	}
	return fmt.Errorf("%q is not a bandwidth: 100Mbit and 1.5Gbit are", s)
}

// stacks checks what belongs to links, servers and names.
func (d *decoder) stacks(s *Scenario) {
	link := func(l *Link) {
		switch {
		case l == nil:
		case l.MTU != 0 && (l.MTU < 576 || l.MTU > 65535):
			d.add(l.At, "", "an MTU is 576 to 65535 bytes")
		case l.Loss.Rat != nil && (l.Loss.Sign() < 0 || l.Loss.Cmp(oneWhole) > 0):
			d.add(l.At, "", "a loss of %s is no part of the packets", l.Loss.RatString())
		}
	}
	if l := s.Spec.Links; l != nil {
		link(l.Pods)
		link(l.Endpoints)
		link(l.Outside)
		link(l.Nodes)
		for i := range l.Hosts {
			link(&l.Hosts[i].Link)
		}
	}
	for i := range s.Spec.Servers {
		v := &s.Spec.Servers[i]
		switch {
		case strings.Count(v.Service.Value, "/") != 1:
			d.add(v.Service.At, "write namespace/name", "service %q has no namespace", v.Service.Value)
		case v.Strays.Rat != nil && (v.Strays.Sign() < 0 || v.Strays.Cmp(oneWhole) > 0):
			d.add(v.At, "", "%s is no part of the answers", v.Strays.RatString())
		case v.Queue > 0 && v.Workers == 0:
			d.add(v.At, "write workers: 1", "a queue is before a number of workers")
		case v.Distribution != "" && v.Distribution != "constant" && v.Time.Duration == 0:
			d.add(v.At, "", "service times are drawn around a time")
		}
	}
	if k := s.Spec.Kernel; k != nil && k.Together.Rat != nil && (k.Together.Sign() < 0 || k.Together.Cmp(oneWhole) > 0) {
		d.add(k.At, "", "%s is no part of the datagrams", k.Together.RatString())
	}
}
