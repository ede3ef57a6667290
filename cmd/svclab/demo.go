package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/scenarios"
	"github.com/svclab/svclab/sim/input"
	"github.com/svclab/svclab/sim/run"
	"github.com/svclab/svclab/sim/scenario"
)

func (a *app) demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Show rules, a packet's walk, exact shares and a wrong chain, in five seconds",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return a.demo(c.Context()) },
	}
}

// The Service of the demo.
const (
	demoService = "default/nginx"
	demoAddress = "10.102.19.139:80"
)

func (a *app) demo(ctx context.Context) error {
	s := a.style()
	sources, err := shipped("nginx-manifests.yaml")
	if err != nil {
		return err
	}
	a.heading(1, "What kube-proxy programs for the Service "+demoService)
	text, _, err := run.Rules(sources, run.Options{}, packet.IPv4, true)
	if err != nil {
		return err
	}
	for l := range strings.Lines(text) {
		if strings.Contains(l, demoService) {
			fmt.Fprint(a.out, l)
		}
	}

	subject, err := run.Load(sources, run.Options{})
	if err != nil {
		return err
	}
	a.heading(2, "One packet walks through them")
	t, err := subject.Trace(run.TraceRequest{
		From: netip.MustParseAddrPort("203.0.113.7:40000"), To: netip.MustParseAddrPort("192.168.10.11:30601"), Proto: packet.TCP, Seed: 1,
	})
	if err != nil {
		return err
	}
	if err := t.WriteText(a.out, s); err != nil {
		return err
	}

	a.heading(3, "The exact share of each Pod, and 300,000 sampled connections beside it")
	if err := a.demoRun(ctx, "demo.yaml"); err != nil {
		return err
	}

	a.heading(4, "The same chain written 1/3, 1/3, rest")
	if sources, err = shipped("wrong-chain.save"); err != nil {
		return err
	}
	if subject, err = run.Load(sources, run.Options{NodeIPs: []netip.Addr{netip.MustParseAddr("192.168.10.11")}}); err != nil {
		return err
	}
	e, err := subject.Explain(run.ExplainRequest{To: netip.MustParseAddrPort(demoAddress), Proto: packet.TCP})
	if err != nil {
		return err
	}
	e.Paths = nil
	return e.WriteText(a.out, s)
}

func (a *app) demoRun(ctx context.Context, name string) error {
	text, err := scenarios.Files.ReadFile(name)
	if err != nil {
		return err
	}
	sc, err := scenario.Read(name, text)
	if err != nil {
		return err
	}
	r, err := run.Scenario(ctx, sc, scenarios.Files, run.ScenarioOptions{})
	if err != nil {
		return err
	}
	return r.WriteText(a.out, a.style())
}

func (a *app) heading(n int, text string) {
	if n > 1 {
		fmt.Fprintln(a.out)
	}
	fmt.Fprintln(a.out, a.style().Bold(fmt.Sprintf("%d. %s", n, text)))
	fmt.Fprintln(a.out)
}

// shipped is a manifest or dump that ships with the program.
func shipped(name string) ([]input.Source, error) {
	data, err := scenarios.Files.ReadFile(name)
	return []input.Source{{Name: name, Data: data}}, err
}
