package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
)

// zoneFile is a plain name server for resolvers: names to what they answer. "A" and "AAAA" are addresses, the words of the
// other keys are codes. A name that is not there is NXDOMAIN.
type zoneFile map[string]string

func (z zoneFile) exchange(_ netip.Addr, t Transport, m *dns.Msg) *dns.Msg {
	q := m.Question[0]
	r := new(dns.Msg)
	r.SetReply(m)
	what, ok := z[q.Name+" "+dns.TypeToString[q.Qtype]]
	if !ok {
		what, ok = z[q.Name]
	}
	switch {
	case !ok:
		r.Rcode = dns.RcodeNameError
	case what == "silence":
		return nil
	case what == "SERVFAIL":
		r.Rcode = dns.RcodeServerFailure
	case what == "REFUSED":
		r.Rcode = dns.RcodeRefused
	case what == "NODATA":
	default:
		a := netip.MustParseAddr(strings.TrimSuffix(what, " truncated"))
		if strings.HasSuffix(what, " truncated") && t == UDP {
			r.Truncated = true
		}
		if a.Is4() == (q.Qtype == dns.TypeA) {
			r.Answer = append(r.Answer, address(dns.RR_Header{Name: q.Name, Class: dns.ClassINET, Ttl: 5}, a))
		}
	}
	return r
}

var pods = ResolvConf{
	Nameservers: []netip.Addr{netip.MustParseAddr("10.96.0.10")},
	Search:      []string{"ns.svc.cluster.local", "svc.cluster.local", "cluster.local"},
	Ndots:       5, Timeout: 5 * time.Second, Attempts: 2,
}

// names lists the names asked for in order, without their types, each once in a row; "name×2" when asked twice for each type.
func names(queries []Query, types int) (out []string) {
	count := 0
	flush := func() {
		if n := len(out); n > 0 && count > types {
			out[n-1] += fmt.Sprintf("×%d", count/types)
		}
	}
	for i, q := range queries {
		if i > 0 && queries[i-1].Name == q.Name {
			count++
			continue
		}
		flush()
		out = append(out, strings.TrimSuffix(q.Name, "."))
		count = 1
	}
	flush()
	return out
}

// TestNamesInOrder has its expectations from measurements of glibc 2.36, musl 1.2.3 and Go 1.26 against one server.
func TestNamesInOrder(t *testing.T) {
	all := []Libc{Glibc, Go, Musl, OldMusl}
	long := strings.Repeat(strings.Repeat("l", 60)+".", 4) // 244 bytes
	for _, c := range []struct {
		about string
		libc  []Libc
		name  string
		zone  zoneFile
		want  string
		err   error
	}{
		{"a trailing dot ends the search", all, "web.", nil, "web", ErrNotFound},
		{"the first suffix hits", all, "web", zoneFile{"web.ns.svc.cluster.local.": "10.96.0.50"}, "web.ns.svc.cluster.local", nil},
		{"fewer than ndots: the suffixes, then the name", all, "web", nil,
			"web.ns.svc.cluster.local web.svc.cluster.local web.cluster.local web", ErrNotFound},
		{"a full name of four dots is the fourth tried", all, "web.other.svc.cluster.local", zoneFile{"web.other.svc.cluster.local.": "10.96.0.51"},
			"web.other.svc.cluster.local.ns.svc.cluster.local web.other.svc.cluster.local.svc.cluster.local web.other.svc.cluster.local.cluster.local web.other.svc.cluster.local", nil},
		{"three misses in the cluster, then the world", all, "www.example.com", zoneFile{"www.example.com.": "203.0.113.1"},
			"www.example.com.ns.svc.cluster.local www.example.com.svc.cluster.local www.example.com.cluster.local www.example.com", nil},
		{"ndots dots: the name, then the suffixes", []Libc{Glibc, Go}, "a.b.c.d.e.f", nil,
			"a.b.c.d.e.f a.b.c.d.e.f.ns.svc.cluster.local a.b.c.d.e.f.svc.cluster.local a.b.c.d.e.f.cluster.local", ErrNotFound},
		{"ndots dots: the name alone", []Libc{Musl, OldMusl}, "a.b.c.d.e.f", nil, "a.b.c.d.e.f", ErrNotFound},
		{"one family is enough", all, "six", zoneFile{"six.ns.svc.cluster.local.": "fd00::1"}, "six.ns.svc.cluster.local", nil},
		{"NODATA ends a musl lookup", []Libc{Musl, OldMusl}, "shop", zoneFile{"shop.svc.cluster.local.": "NODATA", "shop.": "192.0.2.1"},
			"shop.ns.svc.cluster.local shop.svc.cluster.local", ErrNoData},
		{"NODATA is passed over", []Libc{Glibc, Go}, "shop", zoneFile{"shop.svc.cluster.local.": "NODATA", "shop.": "192.0.2.1"},
			"shop.ns.svc.cluster.local shop.svc.cluster.local shop.cluster.local shop", nil},
		{"NODATA is what glibc says when nothing hits", []Libc{Glibc}, "shop", zoneFile{"shop.svc.cluster.local.": "NODATA"},
			"shop.ns.svc.cluster.local shop.svc.cluster.local shop.cluster.local shop", ErrNoData},
		{"SERVFAIL is asked twice, then the next name", []Libc{Glibc, Go}, "web", zoneFile{"web.ns.svc.cluster.local.": "SERVFAIL", "web.svc.cluster.local.": "10.96.0.50"},
			"web.ns.svc.cluster.local×2 web.svc.cluster.local", nil},
		{"SERVFAIL is asked several times and ends a musl lookup", []Libc{Musl, OldMusl}, "web", zoneFile{"web.ns.svc.cluster.local.": "SERVFAIL", "web.": "10.96.0.50"},
			"web.ns.svc.cluster.local×6", ErrTryAgain},
		{"REFUSED ends the suffixes", []Libc{Glibc}, "web", zoneFile{"web.ns.svc.cluster.local.": "REFUSED", "web.": "192.0.2.1"},
			"web.ns.svc.cluster.local×2 web", nil},
		{"REFUSED is passed over", []Libc{Go}, "web", zoneFile{"web.ns.svc.cluster.local.": "REFUSED", "web.svc.cluster.local.": "192.0.2.1"},
			"web.ns.svc.cluster.local×2 web.svc.cluster.local", nil},
		{"REFUSED ends a musl lookup", []Libc{Musl, OldMusl}, "web", zoneFile{"web.ns.svc.cluster.local.": "REFUSED", "web.": "192.0.2.1"},
			"web.ns.svc.cluster.local×2", ErrTryAgain},
		{"a suffix too long ends the list", []Libc{Glibc}, long[:243], nil, long[:243], ErrNotFound},
		{"a suffix too long is left out", []Libc{Go}, long[:233], nil, long[:233] + ".svc.cluster.local " + long[:233] + ".cluster.local " + long[:233], ErrNotFound},
		{"a suffix too long ends the lookup", []Libc{Musl, OldMusl}, long[:243], nil, "", ErrBadName},
	} {
		for _, libc := range c.libc {
			t.Run(string(libc)+": "+c.about, func(t *testing.T) {
				r := &Resolver{Conf: pods, Libc: libc, Exchange: c.zone.exchange}
				queries, _, err := r.Lookup(c.name)
				if got := strings.Join(names(queries, 2), " "); got != c.want {
					t.Errorf("asked\n\t%s\nwant\n\t%s", got, c.want)
				}
				if !errors.Is(err, c.err) {
					t.Errorf("error %v, want %v", err, c.err)
				}
			})
		}
	}
}

// TestBothTypesTogether: A and AAAA of one name go out before the next name, one type alone when asked for.
func TestBothTypesTogether(t *testing.T) {
	r := &Resolver{Conf: pods, Libc: Glibc, Exchange: zoneFile{}.exchange}
	queries, _, _ := r.Lookup("web")
	for i, q := range queries {
		if want := []uint16{dns.TypeA, dns.TypeAAAA}[i%2]; q.Type != want {
			t.Errorf("query %d is for %s", i, dns.Type(q.Type))
		}
	}
	r.Types = []uint16{dns.TypeSRV}
	queries, _, _ = r.Lookup("_http._tcp.web")
	if len(queries) != 4 || queries[3].Type != dns.TypeSRV {
		t.Errorf("%d queries for SRV, want 4", len(queries))
	}
}

// TestTruncation: who asks again over TCP, and who takes what came. Sources: resolv/res_send.c, res_msend.c, dnsclient_unix.go.
func TestTruncation(t *testing.T) {
	z := zoneFile{"big.ns.svc.cluster.local. A": "10.96.0.50 truncated", "big.ns.svc.cluster.local. AAAA": "NODATA"}
	for libc, want := range map[Libc]string{
		Glibc: "udp A, udp AAAA, tcp A, tcp AAAA", Musl: "udp A, tcp A, udp AAAA", Go: "udp A, tcp A, udp AAAA", OldMusl: "udp A, udp AAAA",
	} {
		r := &Resolver{Conf: pods, Libc: libc, Exchange: z.exchange}
		queries, found, err := r.Lookup("big")
		var got []string
		for _, q := range queries {
			got = append(got, q.Transport.String()+" "+dns.TypeToString[q.Type])
		}
		if strings.Join(got, ", ") != want || err != nil || len(found) != 1 {
			t.Errorf("%s: %v, %v, %v; want %s", libc, got, found, err, want)
		}
	}
}

// TestSilence: a server that does not answer costs glibc and Go the timeout for each attempt, musl its timeout in all.
func TestSilence(t *testing.T) {
	for libc, want := range map[Libc]time.Duration{Glibc: 10 * time.Second, Go: 10 * time.Second, Musl: 5 * time.Second} {
		r := &Resolver{Conf: pods, Libc: libc, Exchange: zoneFile{"web.": "silence"}.exchange}
		queries, _, err := r.Lookup("web.")
		if r.waited != want || !errors.Is(err, ErrTryAgain) || len(queries) != 4 {
			t.Errorf("%s: %d queries, %v after %v; want 4 and %v", libc, len(queries), err, r.waited, want)
		}
	}
	two := pods
	two.Nameservers = append(slices.Clone(pods.Nameservers), netip.MustParseAddr("10.96.0.11"))
	r := &Resolver{Conf: two, Libc: Glibc, Types: []uint16{dns.TypeA}, Exchange: zoneFile{"web.": "silence"}.exchange}
	queries, _, _ := r.Lookup("web.")
	var servers []string
	for _, q := range queries {
		servers = append(servers, q.Server.String())
	}
	if got := strings.Join(servers, " "); got != "10.96.0.10 10.96.0.11 10.96.0.10 10.96.0.11" {
		t.Errorf("servers in turn: %s", got)
	}
}

// TestOneOfTwoLost: of two questions sent together the second gets no answer the first time. The stall is that of
// kubernetes/kubernetes#56903: five seconds for glibc, which sends both again; Go and musl send the open one alone.
func TestOneOfTwoLost(t *testing.T) {
	for libc, want := range map[Libc]struct {
		queries string
		wait    time.Duration
	}{
		Glibc: {"A AAAA A AAAA", 5 * time.Second}, Go: {"A AAAA AAAA", 5 * time.Second}, Musl: {"A AAAA AAAA", 2500 * time.Millisecond},
	} {
		lost := false
		r := &Resolver{Conf: pods, Libc: libc, Exchange: func(a netip.Addr, t Transport, m *dns.Msg) *dns.Msg {
			if m.Question[0].Qtype == dns.TypeAAAA && !lost {
				lost = true
				return nil
			}
			return zoneFile{"web.ns.svc.cluster.local.": "10.96.0.50"}.exchange(a, t, m)
		}}
		queries, found, err := r.Lookup("web")
		var got []string
		for _, q := range queries {
			got = append(got, dns.TypeToString[q.Type])
		}
		if strings.Join(got, " ") != want.queries || r.waited != want.wait || err != nil || len(found) != 1 {
			t.Errorf("%s: %v, waited %v, %v, %v; want %v", libc, got, r.waited, found, err, want)
		}
	}
	r := &Resolver{Conf: pods, Libc: Glibc, Exchange: zoneFile{"web. A": "192.0.2.1", "web. AAAA": "silence"}.exchange}
	if queries, found, err := r.Lookup("web."); len(queries) != 6 || r.waited != 15*time.Second || len(found) != 1 || err != nil {
		t.Errorf("always lost: %d queries, waited %v, %v, %v", len(queries), r.waited, found, err)
	}
}

// TestMuslServers: musl sends each question to every server at once and takes the first word on it (res_msend.c); a search
// line of more than 255 bytes is none to it (resolvconf.c).
func TestMuslServers(t *testing.T) {
	conf := pods
	conf.Nameservers = []netip.Addr{netip.MustParseAddr("10.96.0.10"), netip.MustParseAddr("192.0.2.1")}
	r := &Resolver{Conf: conf, Libc: Musl, Exchange: func(server netip.Addr, via Transport, m *dns.Msg) *dns.Msg {
		if server == conf.Nameservers[0] {
			return nil
		}
		return zoneFile{"web.": "192.0.2.7"}.exchange(server, via, m)
	}}
	queries, found, err := r.Lookup("web.")
	var got []string
	for _, q := range queries {
		got = append(got, dns.TypeToString[q.Type]+"@"+q.Server.String())
	}
	if s := strings.Join(got, " "); s != "A@10.96.0.10 A@192.0.2.1 AAAA@10.96.0.10 AAAA@192.0.2.1" || len(found) != 1 || err != nil || r.waited != 0 {
		t.Errorf("%s, %v, %v after %v", s, found, err, r.waited)
	}
	for length, want := range map[int]int{247: 2, 248: 1} { // "search " and the end of the line are 8 bytes
		conf.Search = []string{strings.Repeat("s.", 120) + strings.Repeat("t", length-240)}
		r := &Resolver{Conf: conf, Libc: Musl}
		if list, _ := r.names("x"); len(list) != want {
			t.Errorf("a search list of %d bytes: %d names, want %d", length, len(list), want)
		}
	}
}

// TestResolvConf has its expectations from the Kubernetes documentation, "DNS for Services and Pods".
func TestResolvConf(t *testing.T) {
	c := &Cluster{Nameservers: pods.Nameservers}
	node := ResolvConf{Nameservers: []netip.Addr{netip.MustParseAddr("192.0.2.53")}, Search: []string{"corp.example"}}
	two, empty := "2", ""
	for _, x := range []struct {
		about string
		pod   corev1.PodSpec
		want  string
		ndots int
	}{
		{"ClusterFirst", corev1.PodSpec{}, "search ns.svc.cluster.local svc.cluster.local cluster.local corp.example\nnameserver 10.96.0.10\noptions ndots:5\n", 5},
		{"ClusterFirst on the host's network is Default", corev1.PodSpec{HostNetwork: true}, "search corp.example\nnameserver 192.0.2.53\n", 1},
		{"ClusterFirstWithHostNet", corev1.PodSpec{HostNetwork: true, DNSPolicy: corev1.DNSClusterFirstWithHostNet},
			"search ns.svc.cluster.local svc.cluster.local cluster.local corp.example\nnameserver 10.96.0.10\noptions ndots:5\n", 5},
		{"Default", corev1.PodSpec{DNSPolicy: corev1.DNSDefault}, "search corp.example\nnameserver 192.0.2.53\n", 1},
		{"None takes dnsConfig alone", corev1.PodSpec{DNSPolicy: corev1.DNSNone, DNSConfig: &corev1.PodDNSConfig{
			Nameservers: []string{"192.0.2.1"}, Searches: []string{"ns1.svc.cluster-domain.example", "my.dns.search.suffix"},
			Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: &two}, {Name: "edns0"}},
		}}, "search ns1.svc.cluster-domain.example my.dns.search.suffix\nnameserver 192.0.2.1\noptions ndots:2 edns0\n", 2},
		{"dnsConfig is merged in", corev1.PodSpec{DNSConfig: &corev1.PodDNSConfig{
			Nameservers: []string{"10.96.0.10", "192.0.2.1"}, Searches: []string{"svc.cluster.local.", "more.example"},
			Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: &two}, {Name: "single-request", Value: &empty}},
		}}, "search ns.svc.cluster.local svc.cluster.local cluster.local corp.example more.example\nnameserver 10.96.0.10\nnameserver 192.0.2.1\noptions ndots:2 single-request\n", 2},
	} {
		p := &corev1.Pod{Spec: x.pod}
		p.Namespace = "ns"
		got := c.ResolvConf(p, "cluster.local", node)
		if got.String() != x.want || got.Ndots != x.ndots {
			t.Errorf("%s: ndots %d\n%swant\n%s", x.about, got.Ndots, got, x.want)
		}
	}
}
