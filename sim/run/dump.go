package run

import (
	"fmt"

	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/sim/input"
)

// FormatDump reads a dump and prints it back in its dialect.
func FormatDump(src input.Source) (string, error) {
	name := sourceName(src.Name)
	switch k := input.Detect(src.Data); k {
	case input.KindUnknown, input.KindManifests:
		return "", fmt.Errorf("%s:1: not a dump: iptables-save, ipvsadm -Sn, ipset save and nft list are", name)
	case input.KindIPTables:
		d, err := iptables.ReadDump(name, src.Data)
		if err != nil {
			return "", err
		}
		return d.Print(d.Counters), nil
	case input.KindIPVSAdm:
		list, err := ipvs.ParseSave(name, string(src.Data))
		if err != nil {
			return "", err
		}
		return ipvs.PrintSave(list), nil
	default:
		return "", fmt.Errorf("%s:1: dumps of %s are not read", name, k)
	}
}
