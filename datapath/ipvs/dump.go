package ipvs

import (
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// Dump is what was read from a listing: services with their servers, and connection entries.
type Dump struct {
	Services []DumpService
	Conns    []DumpConn
	// KernelOrder: servers stand in the kernel's list order, newest first (/proc/net/ip_vs). Listings of ipvsadm are sorted,
	// and the order, which decides rr, is lost.
	KernelOrder bool
}

// DumpService is a service of a listing.
type DumpService struct {
	ServiceConfig // Scheduler is "" in listings that do not name it (--stats, --rate)
	Servers       []DumpServer
	Stats         *Stats // of --stats
}

// DumpServer is a server of a listing.
type DumpServer struct {
	DestinationConfig
	Active, Inactive int
	Stats            *Stats // of --stats
}

// DumpConn is an entry of a listing.
type DumpConn struct {
	Proto                   packet.Protocol // 0: the template of a mark
	Client, Virtual, Server netip.AddrPort
	State                   string
	Left                    time.Duration // until it ends, in whole seconds
}

// Commands returns what makes the services of the dump: the servers are added so that they stand in the dump's order.
func (d *Dump) Commands() []Command {
	var out []Command
	for _, s := range d.Services {
		out = append(out, Command{Op: ServiceAdd, Service: s.ServiceConfig})
		for i := len(s.Servers) - 1; i >= 0; i-- {
			out = append(out, Command{Op: ServerAdd, Service: ServiceConfig{Key: s.Key}, Server: s.Servers[i].DestinationConfig})
		}
	}
	return out
}

// Table makes a table of the dump: the services, and the servers' counters as they were. Entries are not made, so that
// counters stay until packets change them.
func (d *Dump) Table(s Sysctls) (*Table, error) {
	t, err := Load(s, d.Commands())
	if err != nil {
		return nil, err
	}
	for _, x := range d.Services {
		for _, y := range x.Servers {
			if e := t.services[x.Key].find(y.Addr); e != nil {
				e.Active, e.Inactive = y.Active, y.Inactive
			}
		}
	}
	return t, nil
}
