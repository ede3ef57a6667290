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

// traceFlags say which packet is traced, and how it is shown.
type traceFlags struct {
	from, to, proto, which string
	packet, capture, iface string
	outputs                []string
	seed                   uint64
	limit                  int
	captured               captureOptions
}

func (a *app) traceCommand() *cobra.Command {
	var f subjectFlags
	var t traceFlags
	c := &cobra.Command{
		Use:   "trace -f FILE --from IP[:PORT] --to IP:PORT | --packet HEX | --capture FILE",
		Short: "Walk one packet, or those of a capture, and show every step",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return a.trace(c, &f, &t) },
	}
	f.add(c, true)
	c.Flags().StringVar(&t.from, "from", "", "source address, with or without a port")
	c.Flags().StringVar(&t.to, "to", "", "destination address and port")
	c.Flags().StringVar(&t.proto, "proto", "tcp", "tcp, udp or sctp")
	c.Flags().StringVar(&t.which, "which", "first", "packet of the connection: first, reply (the endpoint's answer), or later (established)")
	c.Flags().StringVar(&t.packet, "packet", "", "the packet's bytes in hexadecimal, as tcpdump -x and Wireshark show them: from its IP header or its Ethernet header on")
	c.Flags().StringVar(&t.capture, "capture", "", "a pcap or pcapng whose packets pass the node one after the other; - is standard input")
	c.Flags().StringVar(&t.iface, "interface", "", "of a pcapng: the packets that this interface saw (default: all)")
	c.Flags().IntVar(&t.limit, "limit", run.DefaultWalkPackets, "packets of a capture that are walked")
	c.Flags().Uint64Var(&t.seed, "seed", 1, "seed of the draws")
	c.Flags().StringArrayVarP(&t.outputs, "output", "o", []string{"text"}, "text, json or ndjson; pcapng, with =PATH to write a file (repeatable)")
	captureFlags(c, &t.captured)
	return c
}

// request checks the flags that name a packet against one another.
func (t *traceFlags) request(c *cobra.Command) (q run.TraceRequest, err error) {
	q.Seed = t.seed
	given := ""
	for flag, text := range map[string]string{"--packet": t.packet, "--capture": t.capture} {
		if text != "" {
			if given != "" {
				return q, fmt.Errorf("--packet and --capture: give one of them")
			}
			given = flag
		}
	}
	for _, flag := range []string{"from", "to", "proto", "which"} {
		if given != "" && c.Flags().Changed(flag) {
			return q, fmt.Errorf("%s and --%s: the bytes of a packet say that already", given, flag)
		}
	}
	for _, flag := range []string{"interface", "limit"} {
		if t.capture == "" && c.Flags().Changed(flag) {
			return q, fmt.Errorf("--%s is of --capture", flag)
		}
	}
	if t.limit < 0 {
		return q, fmt.Errorf("--limit: %d is negative", t.limit)
	}
	if given != "" {
		return q, nil
	}
	if q.From, err = parseEnd("--from", t.from, false); err != nil {
		return q, err
	}
	if q.To, err = parseEnd("--to", t.to, true); err != nil {
		return q, err
	}
	if q.Proto, err = packet.ParseTransport(t.proto); err != nil {
		return q, fmt.Errorf("--proto: %w", err)
	}
	if err := oneOf("--which", t.which, run.Whiches()...); err != nil {
		return q, err
	}
	q.Which = run.Which(t.which)
	return q, nil
}

func (a *app) trace(c *cobra.Command, f *subjectFlags, t *traceFlags) (err error) {
	q, err := t.request(c)
	if err != nil {
		return err
	}
	if t.packet != "" {
		var warnings []string
		if q.Frame, warnings, err = run.ParseFrame(t.packet); err != nil {
			return err
		}
		a.warn(warnings)
	}
	output, err := textOutput(t.outputs)
	if err != nil {
		return err
	}
	s, err := a.load(f)
	if err != nil {
		return err
	}
	p, rest, err := a.takeCapture(t.outputs, "trace", t.captured)
	if err != nil {
		return err
	}
	if p != nil && p.path == "" && len(rest) == 0 {
		output = ""
	}
	q.Capture = p.of()
	defer func() { err = a.close(p, err) }()
	if t.capture != "" {
		return a.traceCapture(s, t.capture, run.CaptureRequest{Limit: t.limit, Interface: t.iface, Seed: t.seed, Capture: q.Capture}, output)
	}
	r, err := s.Trace(q)
	switch {
	case err != nil || output == "":
		return err
	case output == "json" || output == "ndjson":
		return report.WriteJSON(a.out, r, output == "ndjson")
	}
	return r.WriteText(a.out, a.style())
}

// textOutput is what goes to standard output beside a capture.
func textOutput(outputs []string) (string, error) {
	out := ""
	for _, o := range outputs {
		format, path, _ := strings.Cut(o, "=")
		switch {
		case format == "pcapng":
			if path == "" && len(outputs) > 1 {
				return "", fmt.Errorf("-o pcapng and another: give it a path: -o pcapng=trace.pcapng")
			}
		case out != "":
			return "", fmt.Errorf("-o: %s and %s go to standard output; give one of them", out, format)
		default:
			if err := oneOf("-o", o, "text", "table", "json", "ndjson", "pcapng"); err != nil {
				return "", err
			}
			out = format
		}
	}
	if out == "" {
		out = "text"
	}
	return out, nil
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
