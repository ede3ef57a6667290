package datapath

import (
	"strconv"

	"github.com/svclab/svclab/datapath/ipvs"
)

// Profile says which kernel a node runs and how it is set up. Every difference between versions that changes a
// result is a field of it. The zero value is not valid: start from DefaultProfile.
type Profile struct {
	Name          string
	Kernel        string // release, "6.1"
	IPTables      Variant
	HZ            int // timer ticks a second: "recent" counts in them
	ConntrackMax  int // net.netfilter.nf_conntrack_max
	TCPLoose      bool
	TCPBeLiberal  bool
	NFAcct        bool // nfacct counters exist
	IPForward     bool
	RouteLocalnet bool
	TimeWaitReuse bool         // an entry in TIME_WAIT gives way to a new connection's NAT tuple (newer kernels)
	ClashDrops    bool         // of two datagrams of one socket sent at once to different endpoints one is dropped (before 5.6)
	IPVS          ipvs.Sysctls // net.ipv4.vs.*
}

// Variant is the iptables back end.
type Variant string

// The variants.
const (
	Legacy Variant = "legacy"
	NFT    Variant = "nft"
)

// DefaultProfile is Linux 6.1 as distributions ship it, with the settings of a Kubernetes node.
func DefaultProfile() Profile {
	return Profile{
		Name: "linux-6.1", Kernel: "6.1", IPTables: Legacy, HZ: 250, ConntrackMax: 262144,
		TCPLoose: true, IPForward: true,
		IPVS: ipvs.DefaultSysctls(),
	}
}

func itoa(p uint16) string { return strconv.Itoa(int(p)) }
