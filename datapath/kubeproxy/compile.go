package kubeproxy

import (
	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

// Compiled is the program that one family's proxier leaves on an empty node after its first sync, and the operations that made it.
type Compiled struct {
	Mode   service.Mode
	Family packet.Family
	Ops    []datapath.Op
	Rules  *iptables.Ruleset
	Log    []string

	host *RulesHost
}

// Compile starts a proxier on an empty node, syncs once and returns what is there then.
func Compile(s service.State, mode service.Mode, f packet.Family, profile datapath.Profile) (*Compiled, error) {
	if mode == "" {
		mode = service.ModeIPTables
	}
	p, err := New(mode, f, s, profile)
	if err != nil {
		return nil, err
	}
	h := NewRulesHost()
	start := p.Start(h)
	r, err := p.Sync(0, s, h, Options{})
	if err == nil {
		err = r.Err
	}
	if err != nil {
		return nil, err
	}
	return &Compiled{Mode: mode, Family: f, Ops: append(start.Ops, r.Ops...), Rules: h.Rules(f), Log: append(start.Log, r.Log...), host: h}, nil
}
