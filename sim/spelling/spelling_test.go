package spelling

import (
	"slices"
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	names := []string{"traffic", "events", "checks", "seed", "manifests"}
	for _, c := range []struct {
		name string
		want []string
	}{
		{"trafic", []string{"traffic"}},
		{"check", []string{"checks"}},
		{"sed", []string{"seed"}},
		{"completely-different", nil},
		{strings.Repeat("x", 1<<20), nil},
	} {
		got := Nearest(c.name, names)
		if len(c.want) == 0 && len(got) > 0 || len(c.want) > 0 && (len(got) == 0 || got[0] != c.want[0]) {
			t.Errorf("%.20q: %v, want first %v", c.name, got, c.want)
		}
	}
	if got := Nearest("cheks", names); !slices.Equal(got, []string{"checks"}) {
		t.Errorf("got %v", got)
	}
}

func TestMeant(t *testing.T) {
	names := []string{"clusterIP", "sessionAffinity", "port"}
	for typed, want := range map[string]string{
		"clusterip": "clusterIP", "sesionAffinity": "sessionAffinity", "ports": "port", "selector": "", "por": "",
	} {
		if got := Meant(typed, names); got != want {
			t.Errorf("%q: %q, want %q", typed, got, want)
		}
	}
}
