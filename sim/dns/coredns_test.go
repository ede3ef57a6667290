package dns

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"go.yaml.in/yaml/v4"

	"github.com/svclab/svclab/sim/input"
)

// recording is a file of testdata/coredns: a manifest, and answers that CoreDNS v1.15.0 gave over real DNS with exactly
// these objects behind it.
type recording struct {
	Name     string
	Manifest yaml.Node
	Queries  []exchange
}

type exchange struct {
	Name, Type, Class, Transport string
	EDNS                         *edns
	NoRecursionDesired           bool `yaml:"noRecursionDesired"`

	Rcode                          string
	Authoritative, Truncated       bool
	RecursionAvailable             bool  `yaml:"recursionAvailable"`
	AnswerEDNS                     *edns `yaml:"answerEdns"`
	Answers, Authority, Additional []record
}

type edns struct {
	UDPSize uint16 `yaml:"udpSize"`
	Do      bool
	Version uint8
}

type record struct {
	Name, Type string
	TTL        uint32
	Data       string
}

func (r record) String() string { return fmt.Sprintf("%s %s %d %s", r.Type, r.Name, r.TTL, r.Data) }

func readRecording(t testing.TB, file string) (recording, *input.Objects) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r recording
	if err := yaml.Unmarshal(data, &r); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	o, err := input.Read([]input.Source{{Name: file, Node: &r.Manifest}})
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return r, o
}

func recordings(t testing.TB) []string {
	files, err := filepath.Glob("testdata/coredns/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	return files
}

// TestRecordedAnswers compares whole messages: flags, EDNS and all three sections.
func TestRecordedAnswers(t *testing.T) {
	for _, file := range recordings(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			r, o := readRecording(t, file)
			c, err := Load(o, nil, Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range c.Warnings {
				if strings.Contains(w, "Corefile") {
					t.Error(w)
				}
			}
			for _, q := range r.Queries {
				m := q.message()
				before := m.String()
				transport := UDP
				if q.Transport == "tcp" {
					transport = TCP
				}
				got := c.AnswerOver(transport, m)
				if got == nil {
					t.Errorf("%s: no answer", q.Name)
					continue
				}
				if m.String() != before {
					t.Errorf("%s %s: the question was changed", q.Name, q.Type)
				}
				if got.Id != m.Id || !got.Response || len(got.Question) != 1 || got.Question[0] != m.Question[0] || got.RecursionDesired != m.RecursionDesired {
					t.Errorf("%s %s: no answer to the question: %v", q.Name, q.Type, got)
				}
				if d := q.difference(got); d != "" {
					t.Errorf("%s %s %s%s: %s", q.Name, q.Type, q.Class, q.Transport, d)
				}
			}
		})
	}
}

func (q exchange) message() *dns.Msg {
	m := new(dns.Msg)
	m.Id = 4711
	m.RecursionDesired = !q.NoRecursionDesired
	class := uint16(dns.ClassINET)
	if q.Class != "" {
		class = dns.StringToClass[q.Class]
	}
	t, err := parseType(q.Type)
	if err != nil {
		panic(err)
	}
	m.Question = []dns.Question{{Name: q.Name, Qtype: t, Qclass: class}}
	if q.EDNS != nil {
		m.SetEdns0(q.EDNS.UDPSize, q.EDNS.Do)
		m.IsEdns0().SetVersion(q.EDNS.Version)
	}
	return m
}

func (q exchange) difference(m *dns.Msg) string {
	var out []string
	say := func(what string, want, got any) {
		if fmt.Sprint(want) != fmt.Sprint(got) {
			out = append(out, fmt.Sprintf("%s: want %v, got %v", what, want, got))
		}
	}
	say("rcode", q.Rcode, Rcode(m.Rcode))
	say("AA TC RA", []bool{q.Authoritative, q.Truncated, q.RecursionAvailable}, []bool{m.Authoritative, m.Truncated, m.RecursionAvailable})
	var opt *edns
	var extra []dns.RR
	for _, r := range m.Extra {
		if o, ok := r.(*dns.OPT); ok {
			opt = &edns{o.UDPSize(), o.Do(), o.Version()}
		} else {
			extra = append(extra, r)
		}
	}
	if (opt == nil) != (q.AnswerEDNS == nil) || opt != nil && *opt != *q.AnswerEDNS {
		out = append(out, fmt.Sprintf("EDNS: want %+v, got %+v", q.AnswerEDNS, opt))
	}
	for _, s := range []struct {
		name string
		want []record
		got  []dns.RR
	}{{"answers", q.Answers, m.Answer}, {"authority", q.Authority, m.Ns}, {"additional", q.Additional, extra}} {
		if q.Truncated { // which records are kept follows the order CoreDNS holds them in: how many is the fact
			say("number of "+s.name, len(s.want), len(s.got))
			continue
		}
		var want, got []string
		for _, r := range s.want {
			want = append(want, r.String())
		}
		for _, r := range s.got {
			h := r.Header()
			data := Data(r)
			if soa, ok := r.(*dns.SOA); ok {
				data = strings.Replace(data, fmt.Sprint(" ", soa.Serial, " "), " SERIAL ", 1)
			}
			got = append(got, record{h.Name, dns.TypeToString[h.Rrtype], h.Ttl, data}.String())
		}
		slices.Sort(want)
		slices.Sort(got)
		say(s.name, strings.Join(want, "; "), strings.Join(got, "; "))
	}
	return strings.Join(out, "\n\t")
}

// TestRecordedSearch looks names up from a Pod and finds each query among the recorded ones, with the recorded answer: up to
// the first name that CoreDNS has an address for, in the order of the search list.
func TestRecordedSearch(t *testing.T) {
	r, o := readRecording(t, "testdata/coredns/search.yaml")
	c, err := Load(o, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	recorded := map[string]exchange{}
	for _, q := range r.Queries {
		recorded[q.Name+q.Type] = q
	}
	for name, want := range map[string]struct {
		queries int
		result  string
	}{
		"web": {1, "10.96.80.1"}, "web.default": {2, "10.96.80.4"}, "web.default.svc": {3, "10.96.80.4"},
		"web.default.svc.cluster.local": {4, "10.96.80.4"}, "web.default.svc.cluster.local.": {1, "10.96.80.4"},
		"www.example.com": {4, "203.0.113.10 203.0.113.11"},
		"example.com":     {2, "10.96.80.3"}, // a Service example in the namespace com
		"missing":         {4, ""}, "a.b.c.d.e": {4, ""}, "_http._tcp.web": {1, "10.96.80.1"}, "10.96.80.1": {4, ""},
	} {
		for _, libc := range []Libc{Glibc, Musl, Go} {
			got, err := c.Lookup(Request{Name: name, Namespace: "shop", Pod: "client", Type: "A", Libc: libc})
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(got.Result)
			if len(got.Queries) != want.queries || strings.Join(got.Result, " ") != want.result {
				t.Errorf("%s by %s: %d queries, %v; want %+v", name, libc, len(got.Queries), got.Result, want)
			}
			for _, q := range got.Queries {
				x, ok := recorded[q.Name+q.Type]
				var data []string
				for _, a := range x.Answers {
					data = append(data, a.Data)
				}
				slices.Sort(q.Answers)
				if !ok || q.Rcode != x.Rcode || !slices.Equal(q.Answers, data) {
					t.Errorf("%s by %s: %s %v, recorded %v: %s %v", q.Name, libc, q.Rcode, q.Answers, ok, x.Rcode, data)
				}
			}
		}
	}
}
