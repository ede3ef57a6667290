package kubeproxy_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/kubeproxy"
	"github.com/svclab/svclab/datapath/packet"
)

// textHost is a node whose iptables tables are lists of lines: it knows the commands kube-proxy runs and nothing of what
// rules mean. A deliberately plain second version of the real thing.
type textHost struct {
	tables  map[string]map[string][]string // table, chain, rules without "-A CHAIN "
	flows   []kubeproxy.Flow
	sysctls map[string]string
	fail    bool // the next iptables-restore fails
}

var builtin = map[string][]string{
	"nat":    {"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"},
	"filter": {"INPUT", "FORWARD", "OUTPUT"},
	"mangle": {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"},
}

func newTextHost() *textHost {
	h := &textHost{tables: map[string]map[string][]string{}, sysctls: map[string]string{}}
	for t, chains := range builtin {
		h.tables[t] = map[string][]string{}
		for _, c := range chains {
			h.tables[t][c] = nil
		}
	}
	return h
}

func (h *textHost) Chains(_ packet.Family, table string) []string {
	var out []string
	for c := range h.tables[table] {
		out = append(out, c)
	}
	return out
}

func (h *textHost) UDPFlows(packet.Family) []kubeproxy.Flow { return h.flows }

func (h *textHost) Run(op datapath.Op) error {
	switch op := op.(type) {
	case datapath.Sysctl:
		h.sysctls[op.Key] = op.Value
	case datapath.ConntrackDelete:
		h.flows = slices.DeleteFunc(h.flows, func(f kubeproxy.Flow) bool {
			return f.Original.Proto == op.Proto && f.Reply.Src.Addr() == op.ReplySrc.Addr() && f.Original.Dst.Port() == op.OrigDst.Port() &&
				(!op.OrigDst.Addr().IsValid() || op.OrigDst.Addr() == f.Original.Dst.Addr())
		})
	case datapath.IPTablesExec:
		return h.exec(op.Args)
	case datapath.IPTablesRestore:
		if h.fail {
			h.fail = false
			return errors.New("programming fails in this step")
		}
		return h.restore(op.Text)
	default:
		return fmt.Errorf("unknown operation %T", op)
	}
	return nil
}

func (h *textHost) exec(args string) error {
	f := strings.SplitN(args, " ", 5)
	if len(f) < 4 || f[0] != "-t" {
		return fmt.Errorf("bad arguments %q", args)
	}
	t, chain, rule := h.tables[f[1]], f[3], ""
	if len(f) == 5 {
		rule = f[4]
	}
	_, exists := t[chain]
	if f[2] == "-N" {
		if exists {
			return errors.New("Chain already exists.")
		}
		t[chain] = nil
		return nil
	}
	if !exists {
		return errors.New("No chain/target/match by that name.")
	}
	at := slices.Index(t[chain], rule)
	switch f[2] {
	case "-I":
		t[chain] = slices.Insert(t[chain], 0, rule)
	case "-C":
		if at < 0 {
			return errors.New("Bad rule")
		}
	case "-D":
		if at < 0 {
			return errors.New("Bad rule")
		}
		t[chain] = slices.Delete(t[chain], at, at+1)
	case "-F":
		t[chain] = nil
	case "-X":
		return h.remove(f[1], t, chain)
	default:
		return fmt.Errorf("bad arguments %q", args)
	}
	return nil
}

func (h *textHost) remove(table string, t map[string][]string, chain string) error {
	for _, rules := range t {
		for _, r := range rules {
			if strings.HasSuffix(r, "-j "+chain) {
				return fmt.Errorf("deleted chain %q is referenced by existing rules", chain)
			}
		}
	}
	delete(t, chain)
	return nil
}

// restore applies the input table by table, each as one transaction.
func (h *textHost) restore(text string) error {
	var t map[string][]string
	name := ""
	for l := range strings.Lines(text) {
		l = strings.TrimSuffix(l, "\n")
		switch {
		case strings.HasPrefix(l, "*"):
			name = l[1:]
			t = map[string][]string{}
			for c, r := range h.tables[name] {
				t[c] = slices.Clone(r)
			}
		case strings.HasPrefix(l, ":"):
			c, _, _ := strings.Cut(l[1:], " ")
			t[c] = nil
		case strings.HasPrefix(l, "-A "):
			c, r, _ := strings.Cut(l[3:], " ")
			if _, ok := t[c]; !ok {
				return fmt.Errorf("no chain for %q", l)
			}
			if i := strings.LastIndex(r, "-j KUBE-"); i >= 0 {
				if _, ok := t[r[i+3:]]; !ok {
					return fmt.Errorf("no target for %q", l)
				}
			}
			t[c] = append(t[c], r)
		case strings.HasPrefix(l, "-X "):
			if err := h.remove(name, t, l[3:]); err != nil {
				return err
			}
		case l == "COMMIT":
			h.tables[name] = t
		default:
			return fmt.Errorf("bad line %q", l)
		}
	}
	return nil
}

// text prints tables nat and filter in the form of the conformance cases: built-in chains first, then the others by name.
func (h *textHost) text() string {
	var b strings.Builder
	for _, name := range []string{"nat", "filter"} {
		t := h.tables[name]
		order := slices.Clone(builtin[name])
		var own []string
		for c := range t {
			if !slices.Contains(order, c) {
				own = append(own, c)
			}
		}
		slices.Sort(own)
		b.WriteString("*" + name + "\n")
		for _, c := range order {
			b.WriteString(":" + c + " ACCEPT [0:0]\n")
		}
		for _, c := range own {
			b.WriteString(":" + c + " - [0:0]\n")
		}
		for _, c := range append(order, own...) {
			for _, r := range t[c] {
				b.WriteString("-A " + c + " " + r + "\n")
			}
		}
		b.WriteString("COMMIT\n")
	}
	return b.String()
}
