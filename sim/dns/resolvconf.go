package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// ResolvConf is what a resolver reads from a Pod's /etc/resolv.conf.
type ResolvConf struct {
	Nameservers []netip.Addr
	Search      []string // without the dot at their end
	Ndots       int      // names with fewer dots are tried with the search list first
	Timeout     time.Duration
	Attempts    int
	EDNS0       bool // glibc sends an OPT record
	// Options are the options as kubelet writes them, in order.
	Options []string
}

// String is the file.
func (r ResolvConf) String() string {
	var b strings.Builder
	if len(r.Search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(r.Search, " "))
	}
	for _, n := range r.Nameservers {
		fmt.Fprintf(&b, "nameserver %s\n", n)
	}
	if len(r.Options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(r.Options, " "))
	}
	return b.String()
}

// The bounds of kubelet (pkg/apis/core/validation: MaxDNSNameservers, MaxDNSSearchPaths, MaxDNSSearchListChars).
const (
	maxNameservers = 3
	maxSearches    = 32
	maxSearchChars = 2048
)

// ResolvConf makes the file kubelet writes for a Pod (pkg/kubelet/network/dns/dns.go, GetPodDNS). Domain is the cluster
// domain ("cluster.local"), node the file of the node, whose search list Pods inherit.
func (c *Cluster) ResolvConf(p *corev1.Pod, domain string, node ResolvConf) ResolvConf {
	var r ResolvConf
	policy := p.Spec.DNSPolicy
	if policy == "" {
		policy = corev1.DNSClusterFirst
	}
	switch {
	case policy == corev1.DNSNone:
	case policy == corev1.DNSDefault, policy == corev1.DNSClusterFirst && p.Spec.HostNetwork:
		r = ResolvConf{Nameservers: node.Nameservers, Search: node.Search, Options: node.Options}
	default:
		r.Nameservers = c.Nameservers
		r.Search = append([]string{orDefault(p.Namespace) + ".svc." + domain, "svc." + domain, domain}, node.Search...)
		r.Options = []string{"ndots:5"}
	}
	if d := p.Spec.DNSConfig; d != nil {
		r.merge(d)
	}
	r.Search = unique(r.Search)
	for len(r.Search) > maxSearches || len(strings.Join(r.Search, " ")) > maxSearchChars {
		r.Search = r.Search[:len(r.Search)-1]
	}
	r.Nameservers = r.Nameservers[:min(len(r.Nameservers), maxNameservers)]
	r.read()
	return r
}

// merge adds a Pod's dnsConfig: its servers and domains come after those of the policy, its options take the place of those
// of their name.
func (r *ResolvConf) merge(d *corev1.PodDNSConfig) {
	r.Nameservers = slices.Clone(r.Nameservers)
	for _, n := range d.Nameservers {
		if a, ok := parseIP(n); ok && !slices.Contains(r.Nameservers, a) {
			r.Nameservers = append(r.Nameservers, a)
		}
	}
	r.Search = append(slices.Clone(r.Search), d.Searches...)
	r.Options = slices.Clone(r.Options)
	for _, o := range d.Options {
		text := o.Name
		if o.Value != nil && *o.Value != "" {
			text += ":" + *o.Value
		}
		i := slices.IndexFunc(r.Options, func(have string) bool {
			name, _, _ := strings.Cut(have, ":")
			return name == o.Name
		})
		if i >= 0 {
			r.Options[i] = text
		} else {
			r.Options = append(r.Options, text)
		}
	}
}

func unique(list []string) []string {
	var out []string
	for _, s := range list {
		if s != "." {
			s = strings.TrimSuffix(s, ".")
		}
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// read takes the numbers from the options, within the bounds of resolv.conf(5).
func (r *ResolvConf) read() {
	r.Ndots, r.Timeout, r.Attempts, r.EDNS0 = 1, 5*time.Second, 2, false
	for _, o := range r.Options {
		name, value, _ := strings.Cut(o, ":")
		n, err := strconv.Atoi(value)
		switch {
		case name == "edns0":
			r.EDNS0 = true
		case err != nil || n < 0:
		case name == "ndots":
			r.Ndots = min(n, 15)
		case name == "timeout" && n > 0:
			r.Timeout = time.Duration(min(n, 30)) * time.Second
		case name == "attempts" && n > 0:
			r.Attempts = min(n, 5)
		}
	}
}

// has reports whether an option is set.
func (r *ResolvConf) has(option string) bool { return slices.Contains(r.Options, option) }

// Pod finds the Pod a lookup is made from, or stands one in where the objects hold no Pod at all. The error is a *PodError.
func (c *Cluster) Pod(namespace, name string) (*corev1.Pod, error) {
	var same, all []string
	for _, p := range c.Objects.Pods() {
		n := orDefault(p.Namespace)
		if n == namespace && p.Name == name {
			return p, nil
		}
		all = append(all, n+"/"+p.Name)
		if n == namespace {
			same = append(same, n+"/"+p.Name)
		}
	}
	if len(all) > 0 {
		if len(same) > 0 {
			all = same
		}
		return nil, &PodError{namespace, name, all}
	}
	c.warn("no Pod in the input: %s/%s stands in, with dnsPolicy ClusterFirst", namespace, name)
	p := &corev1.Pod{}
	p.Namespace, p.Name = namespace, name
	return p, nil
}
