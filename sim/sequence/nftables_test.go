package sequence_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/kubeproxy"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/input"
	"github.com/svclab/svclab/sim/sequence"
)

// The nftables mode against recordings of kube-proxy 1.37.2: the commands that make its table, and the table as nft 1.0.6
// lists it. The recordings are those that package nftables reads and prints.
func TestNFTConformance(t *testing.T) {
	const recordings = "../../datapath/nftables/testdata/conformance/"
	for suffix, c := range map[string]struct {
		family packet.Family
		style  iptables.Style
		least  int
	}{
		".nftables.txt": {packet.IPv4, iptables.Native, 36}, ".nftables-list.txt": {packet.IPv4, iptables.Save, 36},
		".nftables6.txt": {packet.IPv6, iptables.Native, 2}, ".nftables6-list.txt": {packet.IPv6, iptables.Save, 2},
	} {
		files, _ := filepath.Glob(recordings + "*" + suffix)
		if len(files) < c.least {
			t.Errorf("%d recordings %s", len(files), suffix)
		}
		for _, f := range files {
			t.Run(filepath.Base(f), func(t *testing.T) {
				in := "testdata/conformance/" + strings.TrimSuffix(filepath.Base(f), suffix) + ".yaml"
				objects, err := input.Read([]input.Source{{Name: in, Data: read(t, in)}})
				if err != nil {
					t.Fatal(err)
				}
				s, _, err := objects.State(input.NodeOptions{Mode: service.ModeNFTables})
				if err != nil {
					t.Fatal(err)
				}
				p, err := kubeproxy.Compile(s, service.ModeNFTables, c.family, datapath.DefaultProfile())
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

// From iptables to nftables the rules of iptables go and those of nftables come; a process that starts again in nftables mode
// makes its base chains anew and nothing else changes; the way back leaves no table.
func TestSwitchThroughNFTables(t *testing.T) {
	s, err := sequence.Parse("s.yaml", []byte(small+"steps:\n- {name: there, restart: nftables}\n- {name: again, restart: same}\n- {name: back, restart: iptables}\n- {name: gone, cleanup: true}\n"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := sequence.Play("s.yaml", s, "")
	if err != nil {
		t.Fatal(err)
	}
	first, there, again, back, gone := r.Steps[0].State.Text, r.Steps[1], r.Steps[2], r.Steps[3], r.Steps[4]
	if strings.Contains(there.State.Text, "KUBE-SERVICES") || !strings.Contains(there.State.Text, "# nft\nadd table ip kube-proxy ") {
		t.Errorf("in nftables mode:\n%s", there.State.Text)
	}
	if again.State != there.State || again.Sync != "full" || again.Work.NFT[0].Kinds["delete chain"] != there.Work.NFT[0].Kinds["delete chain"] ||
		again.Work.NFT[0].Kinds["add element"] != 1 { // the node's own address
		t.Errorf("started again: %s, %v", again.Sync, again.Work.NFT[0].Kinds)
	}
	if sorted(back.State.Text) != sorted(first) {
		t.Errorf("back in iptables mode: %s", firstDifference(back.State.Text, first))
	}
	if n := back.CleanupWork.NFT; len(n) != 1 || n[0].Text.Text != "delete table ip kube-proxy\n" || n[0].Failed {
		t.Errorf("clean-up: %+v", n)
	}
	if strings.Contains(gone.State.Text, "kube-proxy") || len(gone.CleanupFailed) > 0 {
		t.Errorf("after a clean-up: %v\n%s", gone.CleanupFailed, gone.State.Text)
	}
}
