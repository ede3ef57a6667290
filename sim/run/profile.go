package run

import (
	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/sim/spelling"
)

// profiles are the kernels that can be asked for by name, the default first.
var profiles = []datapath.Profile{
	datapath.DefaultProfile(),
	variant("linux-6.1-nft", "6.1", datapath.NFT, 250),
	variant("linux-6.1-uml", "6.1", datapath.Legacy, 100),
	variant("linux-6.18-legacy", "6.18", datapath.Legacy, 1000),
	variant("linux-6.18-nft", "6.18", datapath.NFT, 1000),
	before59(),
}

// before59 is a kernel on which IPVS drops the first SYN of a connection that takes a port again, and conntrack one of two datagrams
// that one socket sends at once.
func before59() datapath.Profile {
	p := variant("linux-5.4", "5.4", datapath.Legacy, 250)
	p.TimeWaitReuse, p.IPVS.ReuseDropsNew, p.ClashDrops = false, true, true
	return p
}

func variant(name, kernel string, v datapath.Variant, hz int) datapath.Profile {
	p := datapath.DefaultProfile()
	p.Name, p.Kernel, p.IPTables, p.HZ = name, kernel, v, hz
	p.TimeWaitReuse = kernel != "6.1"
	return p
}

// ProfileNames lists the profiles that can be asked for.
func ProfileNames() []string {
	var out []string
	for _, p := range profiles {
		out = append(out, p.Name)
	}
	return out
}

// ProfileNamed finds a profile; "" is the default. The error is an UnknownError.
func ProfileNamed(name string) (datapath.Profile, error) {
	for _, p := range profiles {
		if p.Name == name || name == "" {
			return p, nil
		}
	}
	return datapath.Profile{}, &UnknownError{What: "profile", Name: name, Nearest: spelling.Nearest(name, ProfileNames())}
}
