package run

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/input"
)

const ipvsDump = `# ipvsadm -Sn
-A -t 10.96.0.50:80 -s rr
-a -t 10.96.0.50:80 -r 10.244.1.5:8080 -m -w 1
-a -t 10.96.0.50:80 -r 10.244.2.7:8080 -m -w 1
# ipset save
create KUBE-CLUSTER-IP hash:ip,port family inet hashsize 1024 maxelem 65536
add KUBE-CLUSTER-IP 10.96.0.50,tcp:80
# iptables-save
*nat
:KUBE-MARK-MASQ - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SERVICES - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MASQUERADE
-A KUBE-SERVICES ! -s 10.244.0.0/16 -m set --match-set KUBE-CLUSTER-IP dst,dst -j KUBE-MARK-MASQ
-A KUBE-SERVICES -m set --match-set KUBE-GONE dst -j RETURN
COMMIT
`

// The prints of an IPVS node, in one file or several, are a node that packets can be walked through. The server added last is
// the first that rr takes; what no dump tells is taken for the usual, with a warning.
func TestIPVSDump(t *testing.T) {
	cut := strings.Index(ipvsDump, "# iptables-save\n")
	for name, sources := range map[string][]input.Source{
		"one":  {{Name: "d", Data: []byte(ipvsDump)}},
		"more": {{Name: "a", Data: []byte(ipvsDump[:cut])}, {Name: "b", Data: []byte(ipvsDump[cut:])}},
	} {
		s, err := Load(sources, Options{NodeIPs: []netip.Addr{netip.MustParseAddr("192.168.10.11")}})
		if err != nil {
			t.Fatal(name, err)
		}
		if w := strings.Join(s.Warnings, "\n"); !strings.Contains(w, "1 virtual addresses") || !strings.Contains(w, "KUBE-GONE") {
			t.Errorf("%s: warnings %s", name, w)
		}
		for from, masquerade := range map[string]bool{"10.244.1.20": false, "172.16.9.9": true} {
			e, err := s.Explain(ExplainRequest{To: netip.MustParseAddrPort("10.96.0.50:80"), From: netip.MustParseAddr(from), Proto: packet.TCP})
			if err != nil {
				t.Fatal(name, err)
			}
			if len(e.Backends) != 1 || e.Backends[0].Endpoint != "10.244.2.7:8080" || e.Backends[0].Masquerade != masquerade {
				t.Errorf("%s: from %s: %+v", name, from, e.Backends)
			}
			if e.LongRun == nil || e.LongRun.Picks != 2 || !e.Uniform {
				t.Errorf("%s: %+v", name, e.LongRun)
			}
		}
	}
}

// What cannot be loaded is told with file and line, and nothing is loaded.
func TestIPVSDumpErrors(t *testing.T) {
	for text, want := range map[string]string{
		"# ipvsadm -Sn\n-A -t 10.96.0.50:80 -s rr\n-a -t 10.96.0.50:80 -r web:http -m\n": "d:3: ",
		"# ipset save\ncreate A hash:ip\nadd A 10.0.0.300\n":                             "d:3: ",
		"# addresses on kube-ipvs0\n10.96.0.50\n10.96.0\n":                               "d:3: ",
	} {
		if _, err := Load([]input.Source{{Name: "d", Data: []byte(text)}}, Options{}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
