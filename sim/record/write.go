package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"

	"github.com/svclab/svclab/sim/replay"
)

// Network is what stands around the node of a recording, where it is not the usual director.
type Network struct {
	Node         []netip.Addr   `json:"node"`
	Pods         []netip.Prefix `json:"pods"`
	PodInterface string         `json:"podInterface"`
}

// NetworkOf is the network of a host.
func NetworkOf(h replay.Host) *Network {
	return &Network{Node: h.NodeIPs, Pods: h.PodCIDRs, PodInterface: h.PodInterface}
}

func (n *Network) host() replay.Host {
	h := replay.Host{NodeIPs: n.Node, PodCIDRs: n.Pods, PodInterface: n.PodInterface}
	if h.PodInterface == "" {
		h.PodInterface = "pod0"
	}
	return h
}

// Recording is a recording of iptables rules that is to be written.
type Recording struct {
	Name, Kernel, Note string
	Rules, Rules6      string // texts for iptables-restore
	Network            *Network
	Servers            *Servers // nil without IPVS
	After              map[string][]string
	events             []string
}

// Add appends an event: its name and fields.
func (r *Recording) Add(event ...any) error {
	b, err := json.Marshal(event)
	if err != nil {
		return err
	}
	r.events = append(r.events, string(b))
	return nil
}

// Full reports whether a reader would take no more events.
func (r *Recording) Full() bool { return len(r.events) >= maxEvents }

// Write prints the recording, one event a line.
func (r *Recording) Write(w io.Writer) error {
	var b bytes.Buffer
	b.WriteString("{\n")
	field := func(name string, v any) error {
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, " %q: %s,\n", name, text)
		return nil
	}
	type entry struct {
		name string
		v    any
		skip bool
	}
	ipvs := r.Servers
	if ipvs == nil {
		ipvs = &Servers{}
	}
	for _, f := range []entry{
		{"version", 1, false}, {"name", r.Name, false}, {"kernel", r.Kernel, false}, {"note", r.Note, r.Note == ""},
		{"network", r.Network, r.Network == nil}, {"sysctl", ipvs.Sysctl, len(ipvs.Sysctl) == 0},
		{"sets", ipvs.Sets, ipvs.Sets == ""}, {"addresses", ipvs.Addresses, ipvs.Addresses == nil},
		{"servers", ipvs.Commands, ipvs.Commands == ""},
		{"rules", r.Rules, false}, {"rules6", r.Rules6, r.Rules6 == ""},
		{"after", r.After, r.After == nil},
	} {
		if f.skip {
			continue
		}
		if err := field(f.name, f.v); err != nil {
			return err
		}
	}
	b.WriteString(" \"events\": [")
	for i, e := range r.events {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString("\n  " + e)
	}
	b.WriteString("\n ]\n}\n")
	_, err := w.Write(b.Bytes())
	return err
}
