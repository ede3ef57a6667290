package run

import (
	"fmt"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath/kubeproxy"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/input"
	"github.com/svclab/svclab/sim/scenario"
)

// restart ends kube-proxy and starts it with another configuration. What the old process left stays, but for what the new one
// cleans up at its start: between iptables and ipvs, nothing.
func (e *engine) restart(now time.Duration, ev *scenario.ProxyConfig) error {
	for _, st := range e.sites {
		if st.lost || ev.Node != "" && ev.Node != st.Host.Name {
			continue
		}
		st.down = true
		e.moment(now, st.Host.Name, "kube-proxy ends; what it made stays: "+st.inventory())
		begin := func(at time.Duration) error { return e.begin(at, st, ev) }
		if p := e.scenario.Spec.Proxy; p != nil && p.Startup.Duration > 0 {
			e.pending.Add(e.key(now+p.Startup.Duration), begin)
			continue
		}
		if err := begin(now); err != nil {
			return err
		}
	}
	return nil
}

// begin starts the new process on one node.
func (e *engine) begin(now time.Duration, st *site, ev *scenario.ProxyConfig) error {
	mode, configured := st.Mode, service.Mode("")
	if ev.Config.YAML != nil {
		o := st.Objects.Clone()
		o.Delete("KubeProxyConfiguration", "", "")
		if err := o.Apply(input.Source{Name: e.scenario.File + ": proxyConfig.config", Data: ev.Config.YAML}); err != nil {
			return err
		}
		if c := o.Config(); c != nil {
			configured = service.Mode(c.Mode)
		}
		s, _, err := o.State(input.NodeOptions{Node: st.Host.Name, Mode: service.Mode(ev.Mode)})
		if err != nil {
			return err
		}
		st.State.Config, mode = s.Config, s.Config.Mode
	}
	if ev.Mode != "" {
		mode, configured = service.Mode(ev.Mode), service.Mode(ev.Mode)
	}
	if ev.Scheduler != "" {
		st.State.Config.IPVS.Scheduler = ev.Scheduler
	}
	st.State.Config.Mode, st.Mode = mode, mode
	st.Node.Advance(now)
	if ev.CleanUp {
		if err := st.cleanUp(kubeproxy.AllModes); err != nil {
			return err
		}
	}
	log := kubeproxy.StartLog(&st.State, configured)
	if err := st.cleanUp(kubeproxy.CleanedAtStart(mode)); err != nil {
		return err
	}
	st.proxiers = nil
	for _, f := range families {
		k, err := kubeproxy.New(mode, f, st.State, st.Node.Profile)
		if err != nil {
			return err
		}
		k.Start(st.host())
		st.proxiers = append(st.proxiers, k)
	}
	st.down, st.planned = false, false
	if err := e.syncSite(st, now); err != nil {
		return err
	}
	e.moment(now, st.Host.Name, "kube-proxy has started in mode "+string(mode)+"; there is now: "+st.inventory(), log...)
	return nil
}

// cleanUp removes what modes left behind. Failures of commands are logged by kube-proxy and end nothing.
func (s *Subject) cleanUp(modes []service.Mode) error {
	for _, m := range modes {
		if _, err := kubeproxy.Cleanup(m, families[:], s.host()); err != nil {
			return err
		}
	}
	return nil
}

// inventory counts what a node holds: what iptables-save and ipvsadm -Ln would show.
func (s *Subject) inventory() string {
	rules, kube := 0, 0
	for _, t := range s.Node.Rules(packet.IPv4).Tables() {
		for _, c := range t.Chains() {
			rules += len(c.Rules)
			if strings.HasPrefix(c.Name, "KUBE-SVC-") || strings.HasPrefix(c.Name, "KUBE-SEP-") {
				kube++
			}
		}
	}
	servers := 0
	list := s.Node.IPVS.Services()
	for _, v := range list {
		servers += v.Len()
	}
	return fmt.Sprintf("%d iptables rules with %d chains of Services and endpoints, %d virtual servers with %d real servers", rules, kube, len(list), servers)
}
