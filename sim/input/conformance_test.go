package input

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/svclab/svclab/datapath/service"
)

// readFiles reads files of testdata.
func readFiles(t testing.TB, names ...string) (*Objects, error) {
	t.Helper()
	var src []Source
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		src = append(src, Source{Name: filepath.Base(n), Data: b})
	}
	return Read(src)
}

// Every input that kube-proxy took without complaint is read without complaint.
func TestConformanceInputs(t *testing.T) {
	files, _ := filepath.Glob("testdata/conformance/*.yaml")
	if len(files) < 40 {
		t.Fatalf("%d inputs", len(files))
	}
	for _, f := range files {
		for _, mode := range []service.Mode{"", service.ModeIPTables, service.ModeIPVS, service.ModeNFTables} {
			o, err := readFiles(t, f)
			if err != nil {
				t.Errorf("%s: %v", f, err)
				continue
			}
			st, rep, err := o.State(NodeOptions{Mode: mode})
			if err != nil {
				t.Errorf("%s: %v", f, err)
			}
			for _, w := range rep.Warnings {
				t.Errorf("%s: %v", f, w)
			}
			if st.Node.Name != "worker-1" || len(st.Node.InternalIPs) == 0 || len(st.Node.PodCIDRs) == 0 {
				t.Errorf("%s: node %+v", f, st.Node)
			}
			if len(st.Services) == 0 {
				t.Errorf("%s: no Services", f)
			}
		}
	}
}
