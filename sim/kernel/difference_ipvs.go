package kernel

import (
	"fmt"

	"github.com/svclab/svclab/datapath/ipvs"
)

// IPVSOptions say what of IPVS is compared beside services and servers with their order.
type IPVSOptions struct {
	Connections bool // active and inactive entries of servers
	Counters    bool // connections, packets and bytes of services and servers
}

// IPVSDifferences compares the IPVS of a model with what a kernel gives back: services by protocol and address, their servers by
// position. Differences come in the order of the model's services; Rule counts servers from 1.
func IPVSDifferences(model *ipvs.Table, kernel *ipvs.Dump, o IPVSOptions) []Difference {
	left := map[ipvs.ServiceKey]*ipvs.DumpService{}
	for i := range kernel.Services {
		left[kernel.Services[i].Key] = &kernel.Services[i]
	}
	var out []Difference
	for _, s := range model.Services() {
		k := left[s.Key]
		delete(left, s.Key)
		out = append(out, serviceDifferences(s, k, o)...)
	}
	for i := range kernel.Services {
		k := &kernel.Services[i]
		if left[k.Key] != nil {
			out = append(out, Difference{Table: "ipvs", Chain: k.Key.String(), Model: "absent", Kernel: serviceWords(k.ServiceConfig)})
		}
	}
	return out
}

func serviceDifferences(s *ipvs.Service, k *ipvs.DumpService, o IPVSOptions) []Difference {
	d := Difference{Table: "ipvs", Chain: s.Key.String(), Model: serviceWords(s.ServiceConfig), Kernel: "absent"}
	if k == nil {
		return []Difference{d}
	}
	d.Kernel = serviceWords(k.ServiceConfig)
	if o.Counters {
		d.Model += statWords(s.Stats())
		if k.Stats != nil {
			d.Kernel += statWords(*k.Stats)
		}
	}
	var out []Difference
	if d.Model != d.Kernel {
		out = append(out, d)
	}
	var m, got []string
	for _, x := range s.Destinations() {
		m = append(m, serverWords(ipvs.DumpServer{DestinationConfig: x.DestinationConfig, Active: x.Active, Inactive: x.Inactive}, x.Stats(), o))
	}
	for _, x := range k.Servers {
		var st ipvs.Stats
		if x.Stats != nil {
			st = *x.Stats
		}
		got = append(got, serverWords(x, st, o))
	}
	return append(out, ruleDifferences("ipvs", s.Key.String(), m, got)...)
}

// serviceWords are a service's options, whatever spells the defaults.
func serviceWords(c ipvs.ServiceConfig) string {
	if c.Scheduler == "" {
		c.Scheduler = "wlc"
	}
	if c.Persistence == 0 || c.MaskBits == c.Key.Addr.Addr().BitLen() {
		c.MaskBits = 0
	}
	return ipvs.Command{Op: ipvs.ServiceAdd, Service: c}.String()
}

func serverWords(d ipvs.DumpServer, s ipvs.Stats, o IPVSOptions) string {
	w := fmt.Sprintf("%s %s weight %d thresholds %d %d", d.Addr, d.Forward, d.Weight, d.Upper, d.Lower)
	if o.Connections {
		w += fmt.Sprintf(", active %d inactive %d", d.Active, d.Inactive)
	}
	if o.Counters {
		w += statWords(s)
	}
	return w
}

func statWords(s ipvs.Stats) string {
	return fmt.Sprintf(", %d connections, in %d packets %d bytes, out %d packets %d bytes", s.Conns, s.InPackets, s.InBytes, s.OutPackets, s.OutBytes)
}
