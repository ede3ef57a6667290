package run

import (
	"fmt"

	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/kubeproxy"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/input"
)

// Rules prints what kube-proxy programs for manifests on the local node in one family, as the kernel prints it back (save) or
// as kube-proxy hands it over. It returns warnings beside it.
func Rules(sources []input.Source, o Options, f packet.Family, save bool) (text string, warnings []string, err error) {
	for _, src := range sources {
		if k := input.Detect(src.Data); k.IsDump() {
			return "", nil, fmt.Errorf("%s:1: a dump (%s); rules are made from manifests", sourceName(src.Name), k)
		}
	}
	s, err := readState(sources, o)
	if err != nil {
		return "", nil, err
	}
	p, err := ProfileNamed(o.Profile)
	if err != nil {
		return "", nil, err
	}
	p.NFAcct = s.State.Config.NFAcct
	k, err := kubeproxy.Compile(s.State, s.Mode, f, p)
	if err != nil {
		return "", nil, err
	}
	style := iptables.Native
	if save {
		style = iptables.Save
	}
	return k.Print(style), s.Warnings, nil
}
