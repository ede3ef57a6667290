package run

import (
	"fmt"

	"github.com/svclab/svclab/sim/input"
)

// FormatDump reads a dump and prints it back in its dialect.
func FormatDump(src input.Source) (string, error) {
	name := sourceName(src.Name)
	switch k := input.Detect(src.Data); k {
	case input.KindUnknown, input.KindManifests:
		return "", fmt.Errorf("%s:1: not a dump: iptables-save, ipvsadm -Sn, ipset save and nft list are", name)
	default:
		return "", fmt.Errorf("%s:1: dumps of %s are not read", name, k)
	}
}
