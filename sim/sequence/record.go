package sequence

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/svclab/svclab/datapath/kubeproxy"
)

// Record is what kube-proxy did, step by step, in the order and with the names in which it is printed as JSON.
type Record struct {
	SchemaVersion string       `json:"schemaVersion"`
	Kind          string       `json:"kind"`
	Mode          string       `json:"mode"`
	Steps         []StepRecord `json:"steps"`
}

// StepRecord is one step.
type StepRecord struct {
	Name               string     `json:"name"`
	AtSeconds          float64    `json:"atSeconds"`
	Mode               string     `json:"mode,omitempty"`          // at a restart: the mode from now on
	CleanedUp          []string   `json:"cleanedUp,omitempty"`     // modes whose left-overs were cleaned
	CleanupFailed      []string   `json:"cleanupFailed,omitempty"` // those whose clean-up reported an error
	CleanupLog         []string   `json:"cleanupLog,omitempty"`
	CleanupWork        *Work      `json:"cleanupWork,omitempty"`
	GracefulChecks     []Check    `json:"gracefulChecks,omitempty"` // ipvs: those that wrote something
	Sync               string     `json:"sync,omitempty"`           // full, partial, compare; absent where no proxier ran
	EventsAskedForSync *bool      `json:"eventsAskedForSync,omitempty"`
	Log                []string   `json:"log"`
	Work               Work       `json:"work"`
	Conntrack          *Conntrack `json:"conntrack,omitempty"`
	Terminating        []string   `json:"terminating,omitempty"`
	State              Text       `json:"state"`
}

// Work is what was run and written.
type Work struct {
	Commands        map[string]int `json:"commands,omitempty"`
	IPTablesRestore []Restore      `json:"iptablesRestore,omitempty"`
	NFT             []Transaction  `json:"nft,omitempty"`
	Calls           []string       `json:"calls,omitempty"`
	CallCount       int            `json:"callCount,omitempty"`
	CallKinds       map[string]int `json:"callKinds,omitempty"`
}

// Check is one look at the servers that wait for their last connection to end.
type Check struct {
	AtSeconds float64  `json:"atSeconds"`
	Calls     []string `json:"calls"`
}

// Conntrack is what became of the conntrack table.
type Conntrack struct {
	Dumps   int     `json:"dumps"`
	Deleted []Entry `json:"deleted,omitempty"`
	Left    []Entry `json:"left,omitempty"`
}

// Text is a text with its number of lines and the SHA-256 of its bytes, in hexadecimal.
type Text struct {
	Lines  int    `json:"lines"`
	SHA256 string `json:"sha256"`
	Text   string `json:"text"`
}

func textOf(s string) Text {
	h := sha256.Sum256([]byte(s))
	return Text{strings.Count(s, "\n"), hex.EncodeToString(h[:]), s}
}

// Restore is the input of one iptables-restore, put into a fixed order.
type Restore struct {
	Tables         []string       `json:"tables"`
	Chains         map[string]int `json:"chains"`            // chain lines, by table
	Rules          map[string]int `json:"rules"`             // -A lines, by table
	Deletes        map[string]int `json:"deletes,omitempty"` // -X lines, by table
	NATRulesByKind map[string]int `json:"natRulesByKind,omitempty"`
	Failed         bool           `json:"failed,omitempty"`
	Text
}

// Transaction is the input of one nft -f -.
type Transaction struct {
	Operations int            `json:"operations"`
	Kinds      map[string]int `json:"kinds"`
	Failed     bool           `json:"failed,omitempty"`
	Text
}

func restoreOf(text string, failed bool) Restore {
	r := Restore{Chains: map[string]int{}, Rules: map[string]int{}, Failed: failed, Text: textOf(kubeproxy.NormaliseRestore(text))}
	table := ""
	for l := range strings.Lines(text) {
		l = strings.TrimSuffix(l, "\n")
		switch {
		case strings.HasPrefix(l, "*"):
			table = l[1:]
			r.Tables = append(r.Tables, table)
			r.Chains[table], r.Rules[table] = 0, 0
		case strings.HasPrefix(l, ":"):
			r.Chains[table]++
		case strings.HasPrefix(l, "-X "):
			r.Deletes = bump(r.Deletes, table)
		case strings.HasPrefix(l, "-A "):
			r.Rules[table]++
			if table == "nat" {
				chain, _, _ := strings.Cut(l[len("-A "):], " ")
				r.NATRulesByKind = bump(r.NATRulesByKind, chainKind(chain))
			}
		}
	}
	return r
}

func transactionOf(text string, failed bool) Transaction {
	t := Transaction{Kinds: map[string]int{}, Failed: failed, Text: textOf(kubeproxy.NormaliseNFT(text))}
	for l := range strings.Lines(text) {
		if w := strings.Fields(l); len(w) > 1 {
			t.Operations++
			t.Kinds[w[0]+" "+w[1]]++
		}
	}
	return t
}

func bump(m map[string]int, key string) map[string]int {
	if m == nil {
		m = map[string]int{}
	}
	m[key]++
	return m
}

// chainKind is the name of a shared chain, or "KUBE-SVC-*" for those of Services and endpoints.
func chainKind(chain string) string {
	for _, p := range [...]string{"KUBE-SVC-", "KUBE-SVL-", "KUBE-SEP-", "KUBE-FW-", "KUBE-EXT-"} {
		if strings.HasPrefix(chain, p) {
			return p + "*"
		}
	}
	return chain
}

// callKind is what a command line is counted under: "iptables -t", "ip link del", "ipset destroy".
func callKind(call string) string {
	words := strings.Fields(call)
	n := 2
	if len(words) > 0 && words[0] == "ip" {
		n = 3
	}
	return strings.Join(words[:min(n, len(words))], " ")
}
