package main

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/run"
)

func (a *app) traceCommand() *cobra.Command {
	var f subjectFlags
	var from, to, proto, which, output string
	var seed uint64
	c := &cobra.Command{
		Use:   "trace -f FILE --from IP[:PORT] --to IP:PORT",
		Short: "Walk one packet and show every step",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			q := run.TraceRequest{Seed: seed}
			var err error
			if q.From, err = parseEnd("--from", from, false); err != nil {
				return err
			}
			if q.To, err = parseEnd("--to", to, true); err != nil {
				return err
			}
			if q.Proto, err = packet.ParseTransport(proto); err != nil {
				return fmt.Errorf("--proto: %w", err)
			}
			if err := oneOf("--which", which, run.Whiches()...); err != nil {
				return err
			}
			q.Which = run.Which(which)
			if err := oneOf("-o", output, "text", "table", "json", "ndjson"); err != nil {
				return err
			}
			s, err := a.load(&f)
			if err != nil {
				return err
			}
			t, err := s.Trace(q)
			if err != nil {
				return err
			}
			if output == "json" || output == "ndjson" {
				return report.WriteJSON(a.out, t, output == "ndjson")
			}
			return t.WriteText(a.out, a.style())
		},
	}
	f.add(c, true)
	c.Flags().StringVar(&from, "from", "", "source address, with or without a port")
	c.Flags().StringVar(&to, "to", "", "destination address and port")
	c.Flags().StringVar(&proto, "proto", "tcp", "tcp, udp or sctp")
	c.Flags().StringVar(&which, "which", "first", "packet of the connection: first, reply (the endpoint's answer), or later (established)")
	c.Flags().Uint64Var(&seed, "seed", 1, "seed of the draws")
	c.Flags().StringVarP(&output, "output", "o", "text", "text, json or ndjson")
	return c
}

func (a *app) explainCommand() *cobra.Command {
	var f subjectFlags
	var from, to, proto, family, output, namespace string
	c := &cobra.Command{
		Use:   "explain svc/NS/NAME[:PORT] -f FILE",
		Short: "Show every path of a Service with its exact shares",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var q run.ExplainRequest
			var err error
			if len(args) == 1 {
				if q.Service, err = serviceName(args[0], namespace); err != nil {
					return err
				}
			}
			if to != "" {
				if q.To, err = parseEnd("--to", to, true); err != nil {
					return err
				}
				if q.Service != "" {
					return fmt.Errorf("a Service and --to: give one of them")
				}
			}
			if from != "" {
				end, err := parseEnd("--from", from, false)
				if err != nil {
					return err
				}
				q.From = end.Addr()
			}
			if q.Proto, err = packet.ParseTransport(proto); err != nil {
				return fmt.Errorf("--proto: %w", err)
			}
			if q.Family, err = parseFamily(family); err != nil {
				return err
			}
			if err := oneOf("-o", output, "text", "table", "json", "ndjson"); err != nil {
				return err
			}
			s, err := a.load(&f)
			if err != nil {
				return err
			}
			e, err := s.Explain(q)
			if err != nil {
				return err
			}
			if output == "json" || output == "ndjson" {
				return report.WriteJSON(a.out, e, output == "ndjson")
			}
			return e.WriteText(a.out, a.style())
		},
	}
	f.add(c, true)
	c.Flags().StringVar(&from, "from", "", "source of the cluster-IP path (default: a Pod of the local node)")
	c.Flags().StringVar(&to, "to", "", "destination, for dumps, in place of a Service")
	c.Flags().StringVar(&proto, "proto", "tcp", "protocol of --to: tcp, udp or sctp")
	c.Flags().StringVar(&family, "family", "", "ipv4 or ipv6 of a dual-stack Service (default: its first)")
	c.Flags().StringVarP(&namespace, "namespace", "n", "default", "namespace of svc/NAME")
	c.Flags().StringVarP(&output, "output", "o", "text", "text, json or ndjson")
	return c
}

// serviceName reads svc/NS/NAME[:PORT], or svc/NAME with a namespace beside it.
func serviceName(s, namespace string) (string, error) {
	name := s
	for _, p := range []string{"svc/", "service/", "services/"} {
		if rest, ok := strings.CutPrefix(s, p); ok {
			name = rest
			break
		}
	}
	switch strings.Count(name, "/") {
	case 0:
		if _, err := netip.ParseAddrPort(name); err == nil {
			return "", fmt.Errorf("%q is an address: give it with --to", s)
		}
		return namespace + "/" + name, nil
	case 1:
		return name, nil
	}
	return "", fmt.Errorf("%q is not svc/NS/NAME or svc/NS/NAME:PORT", s)
}

func oneOf(flag, got string, valid ...string) error {
	for _, v := range valid {
		if v == got {
			return nil
		}
	}
	return fmt.Errorf("%s: %q is not one of %s", flag, got, strings.Join(valid, ", "))
}
