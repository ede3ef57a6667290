package iptables

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/svclab/svclab/datapath/conntrack"
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// services writes the nat table of s Services with e endpoints each, as kube-proxy shapes it.
func services(s, e int) string {
	var chains, rules strings.Builder
	chains.WriteString("*nat\n:PREROUTING ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n:KUBE-MARK-MASQ - [0:0]\n")
	rules.WriteString("-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n" +
		"-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000\n")
	for i := range s {
		ip := fmt.Sprintf("10.96.%d.%d", i/250, i%250+1)
		svc := fmt.Sprintf("KUBE-SVC-%016d", i)
		fmt.Fprintf(&chains, ":%s - [0:0]\n", svc)
		fmt.Fprintf(&rules, "-A KUBE-SERVICES -d %s/32 -p tcp -m comment --comment \"default/s%d cluster IP\" -m tcp --dport 80 -j %s\n", ip, i, svc)
		fmt.Fprintf(&rules, "-A %s ! -s 10.244.0.0/16 -d %s/32 -p tcp -m comment --comment \"default/s%d cluster IP\" -m tcp --dport 80 -j KUBE-MARK-MASQ\n", svc, ip, i)
		for k := range e {
			ep := fmt.Sprintf("10.244.%d.%d", (i*e+k)/250%250, (i*e+k)%250+1)
			sep := fmt.Sprintf("KUBE-SEP-%012d%04d", i, k)
			fmt.Fprintf(&chains, ":%s - [0:0]\n", sep)
			if k < e-1 {
				fmt.Fprintf(&rules, "-A %s -m comment --comment \"default/s%d -> %s:8080\" -m statistic --mode random --probability %.11f -j %s\n", svc, i, ep, 1/float64(e-k), sep)
			} else {
				fmt.Fprintf(&rules, "-A %s -m comment --comment \"default/s%d -> %s:8080\" -j %s\n", svc, i, ep, sep)
			}
			fmt.Fprintf(&rules, "-A %s -s %s/32 -m comment --comment \"default/s%d\" -j KUBE-MARK-MASQ\n", sep, ep, i)
			fmt.Fprintf(&rules, "-A %s -p tcp -m comment --comment \"default/s%d\" -m tcp -j DNAT --to-destination %s:8080\n", sep, i, ep)
		}
	}
	return chains.String() + rules.String() + "COMMIT\n"
}

// zeroes draws zero for ever.
type zeroes struct{}

func (zeroes) Chance(p uint32) bool { return p > 1<<30 }
func (zeroes) Intn(int) int         { return 0 }

// BenchmarkRun walks nat PREROUTING with a new connection to the last of 10 Services × 3 endpoints.
func BenchmarkRun(b *testing.B) {
	n := newNode(b, packet.IPv4, services(10, 3), LinkEnv{})
	n.w.Source = zeroes{}
	n.w.Hook = netfilter.PreRouting
	p := pkt(packet.TCP, "10.244.1.1:4711", "10.96.0.10:80")
	tb := conntrack.NewTable(conntrack.DefaultConfig())
	c, info, _ := tb.In(0, p, nil)
	fresh := *c
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		*c = fresh
		n.w.Conn, n.w.Info = c, info
		if n.l.Run(&n.w, NAT, netfilter.PreRouting, p) != netfilter.Accept {
			b.Fatal("not accepted")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n.w.Work.Rules), "ns/rule")
}

// BenchmarkMiss tries 1000 rules that miss by their destination.
func BenchmarkMiss(b *testing.B) {
	n := newNode(b, packet.IPv4, services(1000, 1), LinkEnv{})
	n.w.Hook = netfilter.PreRouting
	p := pkt(packet.TCP, "10.244.1.1:4711", "192.0.2.1:80")
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		n.l.Run(&n.w, NAT, netfilter.PreRouting, p)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n.w.Work.Rules), "ns/rule")
}

// BenchmarkReadDump parses and links a dump of 16 MB.
func BenchmarkReadDump(b *testing.B) {
	data := []byte(services(12000, 3))
	b.SetBytes(int64(len(data)))
	for range b.N {
		readAndLink(b, data)
	}
}

func readAndLink(tb testing.TB, data []byte) (*Dump, *Linked) {
	d, err := ReadDump("f", data)
	if err != nil {
		tb.Fatal(err)
	}
	l, err := Link(d.Rulesets[0], LinkEnv{})
	if err != nil {
		tb.Fatal(err)
	}
	return d, l
}

// TestMemory holds a dump's memory to 8 times its size and 64 MiB.
func TestMemory(t *testing.T) {
	data := []byte(services(3000, 3))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	d, l := readAndLink(t, data)
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(d)
	runtime.KeepAlive(l)
	runtime.KeepAlive(data)
	grown := after.TotalAlloc - before.TotalAlloc
	if most := uint64(8*len(data) + 64<<20); grown > most {
		t.Errorf("%d bytes for %d bytes of input, at most %d", grown, len(data), most)
	}
	t.Logf("%.1f bytes allocated per byte read", float64(grown)/float64(len(data)))
}
