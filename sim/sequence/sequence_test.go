package sequence_test

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/svclab/svclab/datapath/kubeproxy"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/sequence"
)

// recording is what a recording of kube-proxy 1.37.2 holds of a step. Texts are stored where they first occur only.
type recording struct {
	Steps []struct {
		Name               string
		AtSeconds          float64
		Sync               string
		EventsAskedForSync *bool
		Log                []string
		Mode               string
		CleanedUp          []string
		CleanupFailed      []string
		Work               struct {
			Commands        map[string]int
			IPTablesRestore []struct {
				Tables                                 []string
				Chains, Rules, Deletes, NATRulesByKind map[string]int
				Failed                                 bool
				Lines                                  int
				SHA256                                 string
				Text                                   string
			}
			NFT []struct {
				Operations int
				Kinds      map[string]int
				Failed     bool
				Lines      int
				SHA256     string
				Text       string
			}
			CallCount int
			CallKinds map[string]int
			Calls     []string
		}
		GracefulChecks []sequence.Check
		Terminating    []string
		Conntrack      *struct {
			Dumps   int
			Deleted []sequence.Entry
			Left    []sequence.Entry
		}
		State struct {
			Lines  int
			SHA256 string
			Text   string
		}
	}
}

func TestRecordedSequences(t *testing.T) {
	for _, mode := range []service.Mode{service.ModeIPTables, service.ModeIPVS, service.ModeNFTables} {
		files, _ := filepath.Glob("testdata/sequences/*/" + string(mode) + ".yaml")
		if len(files) < 15 {
			t.Fatalf("%d recordings of %s", len(files), mode)
		}
		playRecorded(t, mode, files)
	}
}

func playRecorded(t *testing.T, start service.Mode, files []string) {
	for _, rec := range files {
		t.Run(string(start)+"/"+filepath.Base(filepath.Dir(rec)), func(t *testing.T) {
			var want recording
			if err := yaml.Unmarshal(read(t, rec), &want); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(filepath.Dir(rec), "sequence.yaml")
			s, err := sequence.Parse(file, read(t, file))
			if err != nil {
				t.Fatal(err)
			}
			got, err := sequence.Play(file, s, start)
			var mode *kubeproxy.UnsupportedModeError
			if asUnsupported(err, &mode) {
				t.Skipf("needs mode %s: %v", mode.Mode, err)
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Steps) != len(want.Steps) {
				t.Fatalf("%d steps, recorded %d", len(got.Steps), len(want.Steps))
			}
			for i, w := range want.Steps {
				g := got.Steps[i]
				same := func(what string, got, want any) {
					t.Helper()
					a, _ := json.Marshal(got)
					b, _ := json.Marshal(want)
					if string(a) != string(b) && !(empty(got) && empty(want)) {
						t.Errorf("step %s: %s\n got %s\nwant %s", w.Name, what, a, b)
					}
				}
				same("time", g.AtSeconds, w.AtSeconds)
				same("kind", g.Sync, w.Sync)
				same("asked", g.EventsAskedForSync, w.EventsAskedForSync)
				same("log", g.Log, w.Log)
				same("commands", g.Work.Commands, w.Work.Commands)
				same("calls", g.Work.CallKinds, w.Work.CallKinds)
				same("number of calls", g.Work.CallCount, w.Work.CallCount)
				same("cleaned up", g.CleanedUp, w.CleanedUp)
				if w.Work.Calls != nil {
					same("calls", g.Work.Calls, w.Work.Calls)
				}
				if len(g.Work.IPTablesRestore) != len(w.Work.IPTablesRestore) {
					t.Errorf("step %s: %d restores, recorded %d", w.Name, len(g.Work.IPTablesRestore), len(w.Work.IPTablesRestore))
					continue
				}
				for j, r := range w.Work.IPTablesRestore {
					h := g.Work.IPTablesRestore[j]
					same("tables", h.Tables, r.Tables)
					same("chain lines", h.Chains, r.Chains)
					same("rules", h.Rules, r.Rules)
					same("deletions", h.Deletes, r.Deletes)
					same("rules by kind", h.NATRulesByKind, r.NATRulesByKind)
					same("failed", h.Failed, r.Failed)
					same("lines", h.Lines, r.Lines)
					if h.SHA256 != r.SHA256 {
						t.Errorf("step %s: text of restore %d differs; %s", w.Name, j, firstDifference(h.Text.Text, r.Text))
					}
				}
				if len(g.Work.NFT) != len(w.Work.NFT) {
					t.Errorf("step %s: %d transactions, recorded %d", w.Name, len(g.Work.NFT), len(w.Work.NFT))
					continue
				}
				for j, r := range w.Work.NFT {
					h := g.Work.NFT[j]
					same("operations", h.Operations, r.Operations)
					same("operations by kind", h.Kinds, r.Kinds)
					same("failed", h.Failed, r.Failed)
					same("lines", h.Lines, r.Lines)
					if h.SHA256 != r.SHA256 {
						t.Errorf("step %s: text of transaction %d differs; %s", w.Name, j, firstDifference(h.Text.Text, r.Text))
					}
				}
				if w.Conntrack == nil {
					same("conntrack", g.Conntrack, nil)
				} else {
					same("dumps", g.Conntrack.Dumps, w.Conntrack.Dumps)
					same("deleted", g.Conntrack.Deleted, w.Conntrack.Deleted)
					same("left", g.Conntrack.Left, w.Conntrack.Left)
				}
				same("checks", g.GracefulChecks, w.GracefulChecks)
				same("terminating", g.Terminating, w.Terminating)
				same("lines of state", g.State.Lines, w.State.Lines)
				if g.State.SHA256 != w.State.SHA256 {
					t.Errorf("step %s: state differs; %s", w.Name, firstDifference(g.State.Text, w.State.Text))
				}
			}
		})
	}
}

func empty(v any) bool {
	r := reflect.ValueOf(v)
	return v == nil || r.IsZero() || (r.Kind() == reflect.Map || r.Kind() == reflect.Slice) && r.Len() == 0
}

func asUnsupported(err error, to **kubeproxy.UnsupportedModeError) bool {
	for err != nil {
		if e, ok := err.(*kubeproxy.UnsupportedModeError); ok {
			*to = e
			return true
		}
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return false
		}
		err = u.Unwrap()
	}
	return false
}

const small = `
initial:
- {apiVersion: kubeproxy.config.k8s.io/v1alpha1, kind: KubeProxyConfiguration, hostnameOverride: worker-1, clusterCIDR: 10.244.0.0/16}
- {apiVersion: v1, kind: Node, metadata: {name: worker-1}, status: {addresses: [{type: InternalIP, address: 192.168.10.11}]}}
- apiVersion: v1
  kind: Service
  metadata: {name: web, namespace: default}
  spec: {clusterIP: 10.96.0.50, ports: [{port: 80}]}
`

// A process that ends and starts again in the same mode finds its rules in place, and syncs in full.
func TestRestart(t *testing.T) {
	s, err := sequence.Parse("s.yaml", []byte(small+"steps:\n- {name: again, restart: same}\n- {name: gone, cleanup: true}\n- {name: idle}\n- {name: back, restart: iptables}\n"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := sequence.Play("s.yaml", s, "")
	if err != nil {
		t.Fatal(err)
	}
	again, gone, idle, back := r.Steps[1], r.Steps[2], r.Steps[3], r.Steps[4]
	if again.Sync != "full" || again.Work.CallCount != 0 || again.State != r.Steps[0].State || !slices.Equal(again.CleanedUp, []string{"nftables"}) {
		t.Errorf("restart: sync %s, %d calls, cleaned %v", again.Sync, again.Work.CallCount, again.CleanedUp)
	}
	if gone.Sync != "" || strings.Contains(gone.State.Text, "KUBE-SERVICES") || !strings.Contains(gone.State.Text, "-A INPUT -j KUBE-FIREWALL") || gone.Work.CallKinds["iptables -t"] != 12 {
		t.Errorf("clean-up: sync %q, calls %v\n%s", gone.Sync, gone.Work.CallKinds, gone.State.Text)
	}
	if idle.Sync != "" || idle.State != gone.State {
		t.Error("something happens although no process runs")
	}
	// The jumps to the kubelet's chain stayed, and the others are put before them: the order is another than at the first start.
	if back.Sync != "full" || back.State.Text == r.Steps[0].State.Text || sorted(back.State.Text) != sorted(r.Steps[0].State.Text) {
		t.Errorf("a start after a clean-up leads elsewhere:\n%s", back.State.Text)
	}
}

func sorted(text string) string {
	l := strings.Split(text, "\n")
	slices.Sort(l)
	return strings.Join(l, "\n")
}

// Complaints about objects point at their place in the file, wherever and however they stand there.
func TestPositions(t *testing.T) {
	for text, want := range map[string]string{
		small + `steps:
- name: x
  apply:
  - apiVersion: v1
    kind: Service
    metadata: {name: a, namespace: default}
    spec:
      clusterIP: 10.96.0.1
      ports: [{port: 99999}]
  delete: []
- name: z
`: "s.yaml:17:22: ",
		small + "steps:\n- {name: x, apply: [{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: 10.96.0.1, ports: [{port: 99999}]}}]}\n": "s.yaml:10:",
	} {
		s, err := sequence.Parse("s.yaml", []byte(text))
		if err == nil {
			_, err = sequence.Play("s.yaml", s, "")
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// Whatever is read is refused with an error or plays without a fault of the program.
func FuzzParse(f *testing.F) {
	f.Add([]byte(small))                                                                      // the smallest sequence
	f.Add([]byte(small + "steps:\n- {name: a, restart: same}\n- {name: b, cleanup: true}\n")) // no process runs at the end
	f.Add([]byte("initial: [&a {kind: Node}, *a]"))                                           // an alias
	f.Add([]byte("initial:\n- ? {a: b}\n  : c"))                                              // a mapping as a key
	f.Add([]byte("{\"initial\": [{}], \"steps\": [{\"apply\": [null]}]}"))                    // JSON, and null for an object
	f.Add([]byte(small + "steps: [{name: a, topologyLabels: {}, advanceSeconds: 0.5, conntrack: [{proto: udp, src: '[::1]:1', dst: 1.2.3.4:5, replySrc: 1.2.3.4:5, replyDst: 1.1.1.1:1}]}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := sequence.Parse("f", data)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
			return
		}
		_, _ = sequence.Play("f", s, service.ModeIPTables)
	})
}

func TestBadSequences(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "not a sequence",
		"- a":                    "cannot unmarshal",
		"initial: [":             "s.yaml: ",
		"initial: []\nsteps: []": "not a sequence",
		small + "steps: [{name: x, restart: nfs}]":                                               `step 1 "x": restart "nfs"`,
		small + "steps: [{name: x, surprise: 1}]":                                                "surprise",
		small + "steps: [{name: x, advanceSeconds: -1}]":                                         "advanceSeconds -1",
		small + "steps: [{name: x, advanceSeconds: 1e300}]":                                      "advanceSeconds",
		small + "steps: [{name: x, conntrack: [{proto: gre}]}]":                                  "gre",
		small + "steps: [{name: x, conntrack: [{proto: udp, src: a}]}]":                          `"a" is not an address`,
		small + "steps: [{name: x, delete: [{kind: Service, namespace: default, name: other}]}]": "there is no Service default/other",
		small + "steps: [{name: x, apply: [{kind: Service}]}]":                                   `step 1 "x"`,
	} {
		s, err := sequence.Parse("s.yaml", []byte(text))
		if err == nil {
			_, err = sequence.Play("s.yaml", s, "")
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: error %v, want one line with %q", text, err, want)
		}
	}
}
