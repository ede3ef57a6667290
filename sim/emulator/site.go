package emulator

import (
	"net/netip"
	"strings"

	"github.com/svclab/svclab/sim/netstack"
	"github.com/svclab/svclab/sim/run"
	"github.com/svclab/svclab/sim/seed"
)

// site is one modelled node.
type site struct {
	*run.Subject
	node *netstack.Node
}

func (e *Emulator) addNodes() error {
	all := []*run.Subject{e.subject}
	if e.o.AllNodes {
		others, err := e.subject.Others()
		if err != nil {
			return err
		}
		all = append(all, others...)
	}
	for i, s := range all {
		stream := "up"
		if i > 0 {
			stream += " " + s.Host.Name
		}
		s.Node.SetSource(seed.Root(e.o.Seed).Stream(stream))
		t := e.tap.of(s.Host.Name, len(all) > 1)
		if c := e.o.Capture; c != nil {
			c.Know(s)
			t = both(t, c.Tap(s.Host.Name))
		}
		s.Node.SetTap(t)
		e.do(func() { e.sites = append(e.sites, site{s, e.fabric.AddNode(s.Host, s.Node)}) })
	}
	return nil
}

// siteNamed finds a modelled node; "" is the local one.
func (e *Emulator) siteNamed(name string) (site, error) {
	var names []string
	for _, s := range e.sites {
		if name == "" || s.Host.Name == name {
			return s, nil
		}
		names = append(names, s.Host.Name)
	}
	why := "is not modelled: " + strings.Join(names, ", ")
	if !e.o.AllNodes {
		why += " is; --all-nodes models all"
	}
	return site{}, &InputError{What: "node", Text: name, Why: why}
}

// siteOf is the modelled node whose Pod has an address; nil for none.
func (e *Emulator) siteOf(a netip.Addr) *netstack.Node {
	for _, s := range e.sites {
		if s.Host.IsLocalPod(a) {
			return s.node
		}
	}
	return nil
}
