package iptables

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/svclab/svclab/datapath/packet"
)

// TestNativeToSave loads rules as kube-proxy spells them and compares with what a kernel's iptables-save printed of the
// same rules: testdata/kubeproxy holds pairs recorded with iptables 1.8.9 on Linux 6.18.
func TestNativeToSave(t *testing.T) {
	files, err := filepath.Glob("testdata/kubeproxy/*-native.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no recordings", err)
	}
	for _, native := range files {
		save := strings.TrimSuffix(native, "-native.txt") + "-save.txt"
		t.Run(filepath.Base(native), func(t *testing.T) {
			in, want := read(t, native), read(t, save)
			rs := NewRuleset(familyOfName(native))
			if err := rs.Restore(native, in, RestoreOptions{}); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(in, rs.PrintNormalised(Native)); d != "" {
				t.Errorf("native text (-given +printed):\n%s", d)
			}
			if d := cmp.Diff(want, rs.PrintNormalised(Save)); d != "" {
				t.Errorf("saved text (-kernel +printed):\n%s", d)
			}
			again := NewRuleset(rs.Family)
			if err := again.Restore(save, want, RestoreOptions{}); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, again.Print(Save, false)); d != "" {
				t.Errorf("saved text read again (-kernel +printed):\n%s", d)
			}
		})
	}
}

func familyOfName(name string) packet.Family {
	if strings.Contains(filepath.Base(name), "v6") {
		return packet.IPv6
	}
	return packet.IPv4
}

func read(t testing.TB, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
