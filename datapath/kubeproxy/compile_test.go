package kubeproxy_test

import (
	"testing"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/kubeproxy"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

// The rule sets of package iptables and the plain tables of these tests come to the same text.
func TestCompileAgreesWithPlainTables(t *testing.T) {
	for _, s := range []service.State{web(), simple(20, 3)} {
		for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
			p, err := kubeproxy.Compile(s, "", f, datapath.DefaultProfile())
			if err != nil {
				t.Fatal(err)
			}
			x := start(f, s)
			x.sync(s, kubeproxy.Options{})
			if got, want := p.Rules.PrintNormalised(iptables.Native), x.h.text(); got != want {
				t.Errorf("%s: %s", f, firstDifference(got, want))
			}
		}
	}
}

// 5,000 Services with three endpoints each, to rules that can be walked.
func BenchmarkCompile(b *testing.B) {
	s := simple(5000, 3)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := kubeproxy.Compile(s, "", packet.IPv4, datapath.DefaultProfile()); err != nil {
			b.Fatal(err)
		}
	}
}
