package kernel

import (
	"errors"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/box"
)

// step is one operation as the agent carries it out.
type step struct {
	Index int    // of the operation in the caller's list
	Op    string // its command line, for messages
	Do    action

	Argv    []string // run
	Stdin   string
	Lines   []int  // of Stdin, where it stands for several operations: which one, from Index
	Link    string // addresses and links
	Prefix  netip.Prefix
	Key     string // sysctl
	Value   string
	Deleted conntrackFilter

	IPVS     ipvs.Command
	Timeouts ipvs.Timeouts
}

type action uint8

const (
	runTool action = iota
	addressAdd
	addressDelete
	linkAdd
	linkDelete
	sysctl
	conntrackDelete
	ipvsCommand
	ipvsTimeouts
)

// conntrackFilter is datapath.ConntrackDelete in a form that travels.
type conntrackFilter struct {
	Family            packet.Family
	Proto             packet.Protocol
	OrigSrc           netip.Addr
	OrigDst, ReplySrc netip.AddrPort
}

// steps spells operations for a variant of iptables. chunked splits large restores.
func steps(ops []datapath.Op, v datapath.Variant, chunked bool) ([]step, error) {
	var out []step
	for i := 0; i < len(ops); i++ {
		op := ops[i]
		s := step{Index: i, Op: op.Command()}
		if n := setRun(ops[i:]); n > 1 { // one program for all of them
			s.Argv, s.Stdin = []string{"ipset", "restore"}, setLines(ops[i:i+n])
			out = append(out, s)
			i += n - 1
			continue
		}
		if n, family, text, lines := execRun(ops[i:]); n > 1 {
			s.Argv, s.Stdin, s.Lines = []string{toolName(family, v, "-restore"), "-w", "10", "--noflush"}, text, lines
			out = append(out, s)
			i += n - 1
			continue
		}
		switch o := op.(type) {
		case datapath.IPTablesRestore:
			out = append(out, restore(s, o, v, chunked)...)
			continue
		case datapath.IPTablesExec:
			args, err := splitWords(o.Args)
			if err != nil {
				return nil, &datapath.OpError{Index: i, Op: op, Err: err}
			}
			s.Argv = append([]string{toolName(o.Family, v, ""), "-w", "10"}, args...)
		case datapath.SetCommands:
			s.Argv, s.Stdin = []string{"ipset", "restore"}, o.Text
		case datapath.AddressAdd:
			s.Do, s.Link, s.Prefix = addressAdd, o.Interface, o.Prefix
		case datapath.AddressDelete:
			s.Do, s.Link, s.Prefix = addressDelete, o.Interface, o.Prefix
		case datapath.LinkAdd:
			s.Do, s.Link = linkAdd, o.Interface
		case datapath.LinkDelete:
			s.Do, s.Link = linkDelete, o.Interface
		case datapath.Sysctl:
			s.Do, s.Key, s.Value = sysctl, o.Key, o.Value
		case datapath.ConntrackDelete:
			s.Do = conntrackDelete
			s.Deleted = conntrackFilter{Family: o.Family, Proto: o.Proto, OrigSrc: o.OrigSrc, OrigDst: o.OrigDst, ReplySrc: o.ReplySrc}
		case datapath.IPVSTimeouts:
			s.Do, s.Timeouts = ipvsTimeouts, o.Timeouts
		default:
			if c, ok := ipvsOf(op); ok {
				s.Do, s.IPVS = ipvsCommand, c
				break
			}
			argv, err := command(op)
			if err != nil {
				return nil, &datapath.OpError{Index: i, Op: op, Err: err}
			}
			s.Argv = argv
			if t, ok := op.(Scripted); ok {
				s.Stdin = t.Stdin()
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// setRun is how many operations on sets follow one another at the start of a list.
func setRun(ops []datapath.Op) int {
	for n, op := range ops {
		if _, ok := op.(datapath.SetOp); !ok {
			return n
		}
	}
	return len(ops)
}

// setLines are operations on sets as the standard input of ipset restore.
func setLines(ops []datapath.Op) string {
	var b strings.Builder
	for _, op := range ops {
		b.WriteString(datapath.SetArgs(op.(datapath.SetOp)))
		b.WriteByte('\n')
	}
	return b.String()
}

// restoreLine finds the line of its standard input that ipset restore stopped at.
var restoreLine = regexp.MustCompile(`Error in line ([0-9]+):`)

// failedAt is the operation that an error of this step is about.
func (s *step) failedAt(err error) int {
	var c *box.CommandError
	if s.Lines != nil && errors.As(err, &c) {
		return s.Index + failedLine(c.Output, s.Lines)
	}
	if len(s.Argv) == 2 && s.Argv[0] == "ipset" && errors.As(err, &c) {
		if m := restoreLine.FindStringSubmatch(c.Output); m != nil && !strings.HasPrefix(s.Op, "ipset restore") {
			n, _ := strconv.Atoi(m[1])
			return s.Index + max(n-1, 0)
		}
	}
	return s.Index
}

// ipvsOf is an operation on IPVS as a command.
func ipvsOf(op datapath.Op) (ipvs.Command, bool) {
	key := func(k ipvs.ServiceKey) ipvs.ServiceConfig { return ipvs.ServiceConfig{Key: k} }
	switch o := op.(type) {
	case datapath.IPVSServiceAdd:
		return ipvs.Command{Op: ipvs.ServiceAdd, Service: o.Service}, true
	case datapath.IPVSServiceEdit:
		return ipvs.Command{Op: ipvs.ServiceEdit, Service: o.Service}, true
	case datapath.IPVSServiceDelete:
		return ipvs.Command{Op: ipvs.ServiceDelete, Service: key(o.Key)}, true
	case datapath.IPVSDestinationAdd:
		return ipvs.Command{Op: ipvs.ServerAdd, Service: key(o.Key), Server: o.Destination}, true
	case datapath.IPVSDestinationEdit:
		return ipvs.Command{Op: ipvs.ServerEdit, Service: key(o.Key), Server: o.Destination}, true
	case datapath.IPVSDestinationDelete:
		return ipvs.Command{Op: ipvs.ServerDelete, Service: key(o.Key), Server: ipvs.DestinationConfig{Addr: o.Server}}, true
	case datapath.IPVSFlush:
		return ipvs.Command{Op: ipvs.Clear}, true
	}
	return ipvs.Command{}, false
}

// Scripted is an operation that gives its program a standard input. Operations that this package does not know by type are
// run as their Command says, with that input.
type Scripted interface {
	datapath.Op
	Stdin() string
}

// command is the command line of an operation that is not known by type. Only the tools that program a datapath are run.
func command(op datapath.Op) ([]string, error) {
	argv, err := splitWords(op.Command())
	if err != nil {
		return nil, err
	}
	if len(argv) > 0 {
		switch argv[0] {
		case "ipset", "nft", "ipvsadm", "ip", "conntrack":
			return argv, nil
		}
	}
	return nil, &UnsupportedError{Op: op.Command(), Why: "the kernel world knows no such program"}
}

func restore(s step, o datapath.IPTablesRestore, v datapath.Variant, chunked bool) []step {
	argv := []string{toolName(o.Family, v, "-restore"), "-w", "10"}
	if o.Counters {
		argv = append(argv, "--counters")
	}
	if o.Table != "" {
		argv = append(argv, "-T", o.Table)
	}
	whole := append(argv[:len(argv):len(argv)], "--noflush")
	if !chunked || fits(o.Text, batchBytes, netlinkBytes) {
		s.Argv, s.Stdin = argv, o.Text
		if o.NoFlush {
			s.Argv = whole
		}
		return []step{s}
	}
	var out []step
	for _, p := range chunk(o.Text, batchBytes, netlinkBytes) {
		c := s
		c.Argv, c.Stdin = argv, p.text
		if o.NoFlush || !p.first {
			c.Argv = whole
		}
		out = append(out, c)
	}
	return out
}

// toolName is the program of a family and variant: iptables-legacy-restore, ip6tables-nft-save.
func toolName(f packet.Family, v datapath.Variant, suffix string) string {
	name := "iptables-"
	if f == packet.IPv6 {
		name = "ip6tables-"
	}
	return name + string(v) + suffix
}

// splitWords splits a command line as a shell does, with single and double quotes and backslashes.
func splitWords(line string) ([]string, error) {
	var words []string
	var b strings.Builder
	quote, inWord := byte(0), false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quote == 0 && (c == ' ' || c == '\t' || c == '\n'):
			if inWord {
				words = append(words, b.String())
				b.Reset()
			}
			inWord = false
			continue
		case quote == 0 && (c == '"' || c == '\''):
			quote, inWord = c, true
			continue
		case quote != 0 && c == quote:
			quote = 0
			continue
		case c == '\\' && quote != '\'' && i+1 < len(line):
			i++
			c = line[i]
		}
		b.WriteByte(c)
		inWord = true
	}
	if quote != 0 {
		return nil, &UnsupportedError{Op: line, Why: "a quote is not closed"}
	}
	if inWord {
		words = append(words, b.String())
	}
	return words, nil
}
