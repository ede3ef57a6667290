package curve

import (
	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/kernel"
)

// Series is one line of the plot: a kernel and what kube-proxy programs there.
type Series struct {
	Name    string
	Vehicle kernel.Vehicle
	Variant datapath.Variant
	Mode    service.Mode
}

// AllSeries are the series that can be asked for by name.
func AllSeries() []Series {
	return []Series{
		{Name: "rootless-legacy", Vehicle: kernel.VehicleRootless, Variant: datapath.Legacy, Mode: service.ModeIPTables},
		{Name: "rootless-nft", Vehicle: kernel.VehicleRootless, Variant: datapath.NFT, Mode: service.ModeIPTables},
		{Name: "uml-iptables", Vehicle: kernel.VehicleUML, Variant: datapath.Legacy, Mode: service.ModeIPTables},
		{Name: "uml-ipvs", Vehicle: kernel.VehicleUML, Variant: datapath.Legacy, Mode: service.ModeIPVS},
	}
}
