package sequence_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/kubeproxy"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/input"
)

// Expectations in testdata/conformance are recordings of kube-proxy 1.37.2: what it programs for the manifests after its
// first full sync, rules spelled as it hands them to iptables-restore.
func TestConformance(t *testing.T) {
	for suffix, c := range map[string]struct {
		family packet.Family
		nfacct bool
		least  int
	}{
		".iptables.txt":        {packet.IPv4, false, 30},
		".ip6tables.txt":       {packet.IPv6, false, 2},
		".iptables-nfacct.txt": {packet.IPv4, true, 2},
	} {
		files, _ := filepath.Glob("testdata/conformance/*" + suffix)
		if len(files) < c.least {
			t.Errorf("%d recordings %s", len(files), suffix)
		}
		for _, f := range files {
			t.Run(filepath.Base(f), func(t *testing.T) {
				in := strings.TrimSuffix(f, suffix) + ".yaml"
				want := string(read(t, f))
				objects, err := input.Read([]input.Source{{Name: in, Data: read(t, in)}})
				if err != nil {
					t.Fatal(err)
				}
				s, _, err := objects.State(input.NodeOptions{Mode: service.ModeIPTables, NFAcct: c.nfacct})
				if err != nil {
					t.Fatal(err)
				}
				p, err := kubeproxy.Compile(s, service.ModeIPTables, c.family, datapath.DefaultProfile())
				if err != nil {
					t.Fatal(err)
				}
				if got := p.Rules.PrintNormalised(iptables.Native); got != want {
					t.Errorf("first difference:\n%s", firstDifference(got, want))
				}
			})
		}
	}
}

// The same in ipvs mode: virtual servers, sets, addresses and rules, as kube-proxy passes them, and as a Linux 6.1 kernel prints
// them back.
func TestIPVSConformance(t *testing.T) {
	for suffix, c := range map[string]struct {
		family packet.Family
		style  iptables.Style
		least  int
	}{
		".ipvs.txt": {packet.IPv4, iptables.Native, 40}, ".ipvs-save.txt": {packet.IPv4, iptables.Save, 40},
		".ipvs6.txt": {packet.IPv6, iptables.Native, 2}, ".ipvs6-save.txt": {packet.IPv6, iptables.Save, 2},
	} {
		files, _ := filepath.Glob("testdata/conformance/*" + suffix)
		if len(files) < c.least {
			t.Errorf("%d recordings %s", len(files), suffix)
		}
		for _, f := range files {
			t.Run(filepath.Base(f), func(t *testing.T) {
				in := strings.TrimSuffix(f, suffix) + ".yaml"
				objects, err := input.Read([]input.Source{{Name: in, Data: read(t, in)}})
				if err != nil {
					t.Fatal(err)
				}
				s, _, err := objects.State(input.NodeOptions{Mode: service.ModeIPVS})
				if err != nil {
					t.Fatal(err)
				}
				p, err := kubeproxy.Compile(s, service.ModeIPVS, c.family, datapath.DefaultProfile())
				if err != nil {
					t.Fatal(err)
				}
				if got, want := p.Print(c.style), string(read(t, f)); got != want {
					t.Errorf("first difference:\n%s", firstDifference(got, want))
				}
			})
		}
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		x, y := "(end)", "(end)"
		if i < len(g) {
			x = g[i]
		}
		if i < len(w) {
			y = w[i]
		}
		if x != y {
			return "want " + y + "\ngot  " + x
		}
	}
	return "none"
}
