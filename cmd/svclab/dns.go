package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/sim/dns"
	"github.com/svclab/svclab/sim/input"
	"github.com/svclab/svclab/sim/report"
)

func (a *app) dnsCommand() *cobra.Command {
	var files []string
	var from, libc, output string
	var q dns.Request
	c := &cobra.Command{
		Use:   "dns NAME --from NS/POD -f FILE",
		Short: "Ask cluster DNS for a name as a Pod's resolver does",
		Long: "dns prints every query that a program in the Pod sends for a name, and what CoreDNS answers, in order.\n" +
			"The Corefile is a file given with -f, that of the ConfigMap kube-system/coredns, or kubeadm's.",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := oneOf("-o", output, "text", "table", "json", "ndjson"); err != nil {
				return err
			}
			var ok bool
			if q.Namespace, q.Pod, ok = strings.Cut(from, "/"); !ok || q.Namespace == "" || q.Pod == "" {
				return fmt.Errorf("--from: %q is not NAMESPACE/POD", from)
			}
			q.Name, q.Libc = args[0], dns.Libc(libc)
			cluster, err := a.cluster(files)
			if err != nil {
				return err
			}
			r, err := cluster.Lookup(q)
			a.warn(cluster.Warnings)
			if err != nil {
				return err
			}
			if output == "json" || output == "ndjson" {
				return report.WriteJSON(a.out, r, output == "ndjson")
			}
			return r.WriteText(a.out)
		},
	}
	f := c.Flags()
	f.StringArrayVarP(&files, "file", "f", nil, "manifests, or a Corefile; - is standard input (repeatable)")
	f.StringVar(&from, "from", "", "the Pod that asks: NAMESPACE/POD")
	f.StringVar(&q.Type, "type", "", "ask for this record type alone (default: A and AAAA together)")
	f.BoolVar(&q.Exact, "fqdn", false, "ask exactly this name: no search list")
	f.StringVar(&libc, "libc", "glibc", "the program's resolver: glibc, musl, musl-1.2.3 or go")
	f.StringVar(&q.Domain, "cluster-domain", "", "kubelet's clusterDomain (default: CoreDNS's first zone)")
	f.StringSliceVar(&q.NodeSearch, "node-search", nil, "search domains of the node's own resolv.conf")
	f.StringVarP(&output, "output", "o", "text", "text, json or ndjson")
	return c
}

// cluster reads manifests and Corefiles and makes the DNS of their cluster.
func (a *app) cluster(files []string) (*dns.Cluster, error) {
	sources, err := a.read(files)
	if err != nil {
		return nil, err
	}
	var corefile *dns.Corefile
	var manifests []input.Source
	for _, s := range sources {
		if !dns.IsCorefile(s.Data) {
			manifests = append(manifests, s)
			continue
		}
		if corefile != nil {
			return nil, fmt.Errorf("%s and %s are both Corefiles: give one", corefile.Name, s.Name)
		}
		if corefile, err = dns.ParseCorefile(s.Name, string(s.Data)); err != nil {
			return nil, err
		}
	}
	objects, err := input.Read(manifests)
	if err != nil {
		return nil, err
	}
	for _, w := range objects.Warnings() {
		a.warn([]string{w.String()})
	}
	return dns.Load(objects, corefile, dns.Options{})
}
