package sequence

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/svclab/svclab/datapath/kubeproxy"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/input"
)

// Sequence is a parsed sequence file.
type Sequence struct {
	Description string
	Modes       []service.Mode // the modes it is meant to start in; empty: any
	Steps       []Step         // the first, "initial", applies what is there when kube-proxy starts
}

// Step is what happens before one sync.
type Step struct {
	Name        string
	Advance     time.Duration
	Apply       []input.Source // objects added or replaced
	Delete      []Ref
	Topology    map[string]string // the node's topology labels from now on; nil leaves them
	Flows       []kubeproxy.Flow  // added to the conntrack table
	Connections []Connections
	FailCommand bool // iptables-restore, or nft, fails in this step
	ForceFull   bool
	Restart     string // a mode, or "same"
	Cleanup     bool   // the process ends; kube-proxy --cleanup runs
}

// Ref names an object to delete.
type Ref struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// Connections sets the connection counters of one IPVS real server from a step on.
type Connections struct {
	Virtual  string `json:"virtual"` // "TCP 10.96.0.50:80"
	Real     string `json:"real"`    // "10.244.2.7:8080"
	Active   int    `json:"active"`
	Inactive int    `json:"inactive"`
}

// file is the form on disk.
type file struct {
	Description string            `json:"description"`
	Modes       []service.Mode    `json:"modes"`
	Record      string            `json:"record"`
	Initial     []json.RawMessage `json:"initial"`
	Steps       []fileStep        `json:"steps"`
}

type fileStep struct {
	Name            string            `json:"name"`
	AdvanceSeconds  *float64          `json:"advanceSeconds"`
	Apply           []json.RawMessage `json:"apply"`
	Delete          []Ref             `json:"delete"`
	TopologyLabels  map[string]string `json:"topologyLabels"`
	Conntrack       []Entry           `json:"conntrack"`
	IPVSConnections []Connections     `json:"ipvsConnections"`
	FailProgramming bool              `json:"failProgramming"`
	ForceFullSync   bool              `json:"forceFullSync"`
	Restart         string            `json:"restart"`
	Cleanup         bool              `json:"cleanup"`
}

// maxAdvance bounds the time between two steps, so that sums of steps stay in range.
const maxAdvance = 1000 * 24 * time.Hour

// Parse reads a sequence. Errors are *Error and name the file and the step.
func Parse(name string, data []byte) (*Sequence, error) {
	raw, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return nil, &Error{File: name, Err: err}
	}
	var f file
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, &Error{File: name, Err: err}
	}
	if len(f.Initial) == 0 {
		return nil, &Error{File: name, Err: fmt.Errorf("not a sequence: the list initial is missing or empty")}
	}
	s := &Sequence{Description: f.Description, Modes: f.Modes}
	at := locate(name, data)
	root := span{at.root, len(at.lines)}
	s.Steps = append(s.Steps, Step{Name: "initial", Apply: at.sources(f.Initial, root.field("initial"))})
	for i := range f.Steps {
		st, err := f.Steps[i].step()
		if err != nil {
			return nil, &Error{File: name, Step: f.Steps[i].Name, Index: i + 1, Err: err}
		}
		st.Apply = at.sources(f.Steps[i].Apply, root.field("steps").item(i).field("apply"))
		s.Steps = append(s.Steps, st)
	}
	return s, nil
}

func (f *fileStep) step() (Step, error) {
	s := Step{Name: f.Name, Advance: 10 * time.Second, Delete: f.Delete, Topology: f.TopologyLabels,
		FailCommand: f.FailProgramming, ForceFull: f.ForceFullSync, Restart: f.Restart, Cleanup: f.Cleanup, Connections: f.IPVSConnections}
	if f.AdvanceSeconds != nil {
		if *f.AdvanceSeconds < 0 || *f.AdvanceSeconds > maxAdvance.Seconds() {
			return s, fmt.Errorf("advanceSeconds %v is not between 0 and %v", *f.AdvanceSeconds, maxAdvance.Seconds())
		}
		s.Advance = time.Duration(*f.AdvanceSeconds * float64(time.Second))
	}
	switch s.Restart {
	case "", "same", string(service.ModeIPTables), string(service.ModeIPVS), string(service.ModeNFTables):
	default:
		return s, fmt.Errorf("restart %q is no mode: same, iptables, ipvs and nftables are", s.Restart)
	}
	if s.Restart != "" && s.Cleanup {
		return s, fmt.Errorf("restart and cleanup exclude each other")
	}
	for i, e := range f.Conntrack {
		fl, err := e.flow()
		if err != nil {
			return s, fmt.Errorf("conntrack[%d]: %w", i, err)
		}
		s.Flows = append(s.Flows, fl)
	}
	return s, nil
}

// Entry is a conntrack entry: where the first packet came from and went to, and the same of answers, as "address:port".
type Entry struct {
	Proto    string `json:"proto"`
	Src      string `json:"src"`
	Dst      string `json:"dst"`
	ReplySrc string `json:"replySrc"`
	ReplyDst string `json:"replyDst"`
}

func (e Entry) flow() (kubeproxy.Flow, error) {
	proto, err := packet.ParseTransport(e.Proto)
	if err != nil {
		return kubeproxy.Flow{}, err
	}
	var a [4]netip.AddrPort
	for i, text := range [...]string{e.Src, e.Dst, e.ReplySrc, e.ReplyDst} {
		if a[i], err = netip.ParseAddrPort(text); err != nil {
			return kubeproxy.Flow{}, fmt.Errorf("%q is not an address with a port", text)
		}
	}
	return kubeproxy.Flow{
		Original: packet.Tuple{Src: a[0], Dst: a[1], Proto: proto},
		Reply:    packet.Tuple{Src: a[2], Dst: a[3], Proto: proto},
	}, nil
}

func entryOf(f kubeproxy.Flow) Entry {
	return Entry{f.Original.Proto.String(), f.Original.Src.String(), f.Original.Dst.String(), f.Reply.Src.String(), f.Reply.Dst.String()}
}
