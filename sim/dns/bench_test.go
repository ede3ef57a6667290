package dns

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// BenchmarkAnswer answers for one of 2,000 Services, as a message and as bytes.
func BenchmarkAnswer(b *testing.B) {
	var m strings.Builder
	m.WriteString(web)
	for i := range 2000 {
		fmt.Fprintf(&m, "---\napiVersion: v1\nkind: Service\nmetadata: {name: s%d}\nspec: {clusterIP: 10.97.%d.%d, ports: [{port: 80}]}\n", i, i/200, i%200+1)
	}
	c := load(b, DefaultCorefile, m.String())
	q := new(dns.Msg)
	q.SetQuestion("s1234.default.svc.cluster.local.", dns.TypeA)
	packet, err := q.Pack()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("message", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if r := c.Answer(q); len(r.Answer) != 1 {
				b.Fatal(r)
			}
		}
	})
	b.Run("bytes", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if r := c.Respond(UDP, packet); r == nil {
				b.Fatal("no answer")
			}
		}
	})
}
