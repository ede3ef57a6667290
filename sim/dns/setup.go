package dns

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"
)

// setup makes the plugins of one server block from its directives.
type setup struct {
	file    string
	origins zones // the zones of the block
	objects Objects
	opt     Options
	stores  map[string]*store // by filter: blocks that ask for the same objects share them
}

func (s *setup) fault(w Word, format string, args ...any) error {
	return &CorefileError{s.file, w.Line, fmt.Sprintf(format, args...)}
}

func (s *setup) unsupported(w Word, format string, args ...any) error {
	return &UnsupportedError{s.file, w.Line, fmt.Sprintf(format, args...)}
}

// passing are plugins that pass every message on unchanged; the value says whether they stand in the chain of handlers.
var passing = map[string]bool{
	"debug": false, "health": false, "pprof": false, "ready": false, "reload": false, "root": false, "timeouts": false,
	"multisocket": false, "cancel": true, "errors": true, "log": true, "loop": true, "metadata": true, "prometheus": true,
	"trace": true, "dnstap": true, "shed": true,
	"loadbalance": true, // it shuffles addresses; their order means nothing here
}

// chain makes the chain of a block. The plugins stand in CoreDNS's order, those of one name in the order of lines.
func (s *setup) chain(directives []Directive) (chain, error) {
	for _, d := range directives {
		if !known(d.Text) {
			return nil, s.fault(d.Word, "%q is no plugin of CoreDNS", d.Text)
		}
	}
	var c chain
	for _, name := range directiveNames {
		n := 0
		for _, d := range directives {
			if d.Text != name {
				continue
			}
			if n++; n > 1 && (name == "kubernetes" || name == "hosts" || name == "cache") {
				return nil, s.fault(d.Word, "%s stands twice in one server block", name)
			}
			p, err := s.plugin(d)
			if err != nil {
				return nil, err
			}
			if p != nil {
				c = append(c, p)
			}
		}
	}
	return c, nil
}

func (s *setup) plugin(d Directive) (plugin, error) {
	switch d.Text {
	case "kubernetes":
		return s.kubernetes(d)
	case "hosts":
		return s.hosts(d)
	case "forward":
		return s.forward(d)
	case "cache":
		return s.cache(d)
	}
	if chained, ok := passing[d.Text]; ok {
		if chained {
			return pass{}, nil
		}
		return nil, nil
	}
	return nil, s.unsupported(d.Word, "the plugin %s", d.Text)
}

// podMode is the option pods.
type podMode string

const (
	podsDisabled podMode = "disabled" // names of Pods do not exist
	podsInsecure podMode = "insecure" // any address in a name is answered with that address
	podsVerified podMode = "verified" // only addresses of Pods that exist are answered
)

// kubernetes reads a kubernetes block (coredns plugin/kubernetes/setup.go, ParseStanza).
func (s *setup) kubernetes(d Directive) (plugin, error) {
	k := &kubernetes{zones: origins(d.texts(), s.origins), pods: podsDisabled, ttl: 5, namespaces: map[string]bool{}, serial: s.opt.Serial, self: s.opt.Self}
	for _, z := range k.zones {
		if !isReverse(z) { // so in-addr.arpa. itself passes for a forward zone, as it does in CoreDNS
			k.primary = z
			break
		}
	}
	if k.primary == "" {
		return nil, s.fault(d.Word, "kubernetes needs a zone that is not a reverse zone")
	}
	f := filter{endpoints: true}
	for _, o := range d.Body {
		if err := s.kubernetesOption(k, &f, o); err != nil {
			return nil, err
		}
	}
	if len(k.namespaces) > 0 && f.namespaceLabels != nil {
		return nil, s.fault(d.Word, "namespaces and namespace_labels cannot both be set")
	}
	if k.zonal && !f.endpoints {
		return nil, s.fault(d.Word, "zonal needs endpoints: remove noendpoints")
	}
	f.pods = k.pods == podsVerified
	key := fmt.Sprint(f.labels, "\n", f.namespaceLabels, "\n", f.endpoints, f.pods)
	if s.stores[key] == nil {
		s.stores[key] = newStore(s.objects, f)
	}
	k.store = s.stores[key]
	return k, nil
}

func (s *setup) kubernetesOption(k *kubernetes, f *filter, o Directive) error {
	args := o.texts()
	count := func(least, most int) error {
		if len(args) < least || most >= 0 && len(args) > most {
			return s.fault(o.Word, "kubernetes: wrong number of arguments in %q", o.String())
		}
		if len(o.Body) > 0 {
			return s.fault(o.Word, "kubernetes: %s has no block", o.Text)
		}
		return nil
	}
	selector := func() (labels.Selector, error) {
		if err := count(1, -1); err != nil {
			return nil, err
		}
		l, err := labels.Parse(strings.Join(args, " "))
		if err != nil {
			return nil, s.fault(o.Word, "kubernetes: %s: %v", o.Text, err)
		}
		return l, nil
	}
	var err error
	switch o.Text {
	case "pods":
		if err = count(1, 1); err != nil {
			return err
		}
		k.pods = podMode(args[0])
		if !slices.Contains([]podMode{podsDisabled, podsInsecure, podsVerified}, k.pods) {
			return s.fault(o.Word, "kubernetes: pods %q: disabled, verified and insecure are the modes", args[0])
		}
	case "fallthrough":
		k.fall = through(args)
		return count(0, -1)
	case "ttl":
		if err = count(1, -1); err != nil {
			return err
		}
		n, err := strconv.Atoi(args[0])
		if err != nil || n < 0 || n > 3600 {
			return s.fault(o.Word, "kubernetes: ttl %q is not a number from 0 to 3600", args[0])
		}
		k.ttl = uint32(n)
	case "endpoint_pod_names":
		k.podNames = true
		return count(0, 0)
	case "noendpoints":
		f.endpoints = false
		return count(0, 0)
	case "zonal":
		k.zonal = true
		return count(0, 0)
	case "ignore":
		if len(args) == 0 {
			return nil
		}
		if args[0] != "empty_service" {
			return s.fault(o.Word, "kubernetes: ignore %q: only empty_service is ignored", args[0])
		}
		k.ignoreEmpty = true
	case "namespaces":
		for _, a := range args {
			k.namespaces[a] = true
		}
		return count(1, -1)
	case "labels":
		f.labels, err = selector()
		return err
	case "namespace_labels":
		f.namespaceLabels, err = selector()
		return err
	case "endpoint": // where CoreDNS finds the API server: nothing here depends on it
		return count(1, -1)
	case "tls":
		return count(3, 3)
	case "kubeconfig":
		return count(1, 2)
	case "apiserver_qps", "apiserver_burst", "apiserver_max_inflight":
		return count(1, 1)
	case "startup_timeout":
		if err = count(1, -1); err != nil {
			return err
		}
		if _, err := time.ParseDuration(args[0]); err != nil {
			return s.fault(o.Word, "kubernetes: startup_timeout %q is not a duration", args[0])
		}
	case "multicluster":
		return s.unsupported(o.Word, "kubernetes: multicluster")
	default:
		return s.fault(o.Word, "kubernetes: %q is no option", o.Text)
	}
	return nil
}

// through are the zones whose missing names fall through to the next plugin; every zone when no argument names one.
func through(args []string) zones {
	if len(args) == 0 {
		return zones{"."}
	}
	return origins(args, nil)
}

// hosts reads a hosts block (coredns plugin/hosts/setup.go). A file other than /etc/hosts is not read; /etc/hosts counts as
// empty, since it is that of CoreDNS's own container.
func (s *setup) hosts(d Directive) (plugin, error) {
	args := d.texts()
	if len(args) > 0 {
		if args[0] != "/etc/hosts" {
			return nil, s.unsupported(d.Word, "hosts: the file %q", args[0])
		}
		args = args[1:]
	}
	h := &hosts{origins: origins(args, s.origins), ttl: 3600, autoReverse: true}
	var lines [][]string
	for _, o := range d.Body {
		args := o.texts()
		switch o.Text {
		case "fallthrough":
			h.fall = through(args)
		case "fallthrough_unsupported":
			if len(args) > 0 {
				return nil, s.fault(o.Word, "hosts: fallthrough_unsupported has no arguments")
			}
			h.passTypes = true
		case "no_reverse":
			h.autoReverse = false
		case "ttl":
			n := 0
			if len(args) > 0 {
				n, _ = strconv.Atoi(args[0])
			}
			if n <= 0 || n > 65535 {
				return nil, s.fault(o.Word, "hosts: %q: ttl is a number from 1 to 65535", o.String())
			}
			h.ttl = uint32(n)
		case "reload":
			if len(args) != 1 {
				return nil, s.fault(o.Word, "hosts: reload needs a duration")
			}
			if t, err := time.ParseDuration(args[0]); err != nil || t < 0 {
				return nil, s.fault(o.Word, "hosts: reload %q is not a duration", args[0])
			}
		default:
			if len(h.fall) > 0 {
				return nil, s.fault(o.Word, "hosts: %q: after fallthrough no line is an entry", o.String())
			}
			lines = append(lines, append([]string{o.Text}, args...))
		}
	}
	if h.passTypes && len(h.fall) == 0 {
		return nil, s.fault(d.Word, "hosts: fallthrough_unsupported needs fallthrough")
	}
	h.load(lines)
	return h, nil
}

// forward reads a forward line (coredns plugin/forward/setup.go). Where it forwards to is the Upstream of the Options.
func (s *setup) forward(d Directive) (plugin, error) {
	args := d.texts()
	if len(args) < 2 {
		return nil, s.fault(d.Word, "forward: %q: a zone and a server are needed", d.String())
	}
	from := origins(args[:1], nil)
	if len(from) == 0 {
		return nil, s.fault(d.Word, "forward: %q is no zone", args[0])
	}
	f := &forward{from: from[0], upstream: s.opt.Upstream}
	for _, o := range d.Body {
		switch o.Text {
		case "except":
			if len(o.Args) == 0 {
				return nil, s.fault(o.Word, "forward: except needs a zone")
			}
			f.except = append(f.except, origins(o.texts(), nil)...)
		case "max_fails", "max_connect_attempts", "health_check", "force_tcp", "prefer_udp", "tls", "tls_servername", "expire",
			"max_age", "max_idle_conns", "read_timeout", "doh_method", "policy", "max_concurrent", "resolver", "source_address",
			"failfast_all_unhealthy_upstreams": // how the upstream is reached: one upstream answers at once here
		case "next", "next_on_nodata", "failover":
			return nil, s.unsupported(o.Word, "forward: %s", o.Text)
		default:
			return nil, s.fault(o.Word, "forward: %q is no option", o.Text)
		}
	}
	return f, nil
}

// cache reads a cache line (coredns plugin/cache/setup.go).
func (s *setup) cache(d Directive) (plugin, error) {
	c := &cache{positive: 3600, negative: 1800, minPositive: 5, minNegative: 5, failure: 5}
	args := d.texts()
	if len(args) > 0 {
		if n, err := strconv.ParseUint(args[0], 10, 31); err == nil {
			if n == 0 {
				return nil, s.fault(d.Word, "cache: a TTL of 0")
			}
			c.positive, c.negative, args = uint32(n), uint32(n), args[1:]
		}
	}
	c.zones = origins(args, s.origins)
	for _, o := range d.Body {
		switch o.Text {
		case "success", "denial":
			ttl, least := &c.positive, &c.minPositive
			if o.Text == "denial" {
				ttl, least = &c.negative, &c.minNegative
			}
			for i, a := range o.Args {
				n, err := strconv.ParseUint(a.Text, 10, 31)
				if err != nil || i == 1 && n == 0 {
					return nil, s.fault(o.Word, "cache: %q: %q is no number for this place", o.String(), a.Text)
				}
				switch i {
				case 1:
					*ttl = uint32(n)
				case 2:
					*least = uint32(n)
				}
			}
		case "servfail":
			t, err := time.ParseDuration(strings.Join(o.texts(), " "))
			if err != nil || t < 0 || t > 5*time.Minute {
				return nil, s.fault(o.Word, "cache: %q: a duration of at most 5m is wanted", o.String())
			}
			c.failure = uint32(t / time.Second)
		case "disable", "prefetch", "serve_stale", "serve_stale_policy", "keepttl": // what is remembered, which is nothing here
		default:
			return nil, s.fault(o.Word, "cache: %q is no option", o.Text)
		}
	}
	return c, nil
}
