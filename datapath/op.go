package datapath

import (
	"net/netip"
	"strings"

	"github.com/svclab/svclab/datapath/packet"
)

// Op is one change to a node: one process that kube-proxy or an operator runs, or one netlink call. A list of them, in
// order, loads a model (Node.Apply) and, printed as commands and scripts, a kernel.
type Op interface {
	// Command spells the operation as a command line, without its standard input.
	Command() string
}

// IPTablesRestore is one run of iptables-restore: whole tables or, with NoFlush, the chains that the text declares.
type IPTablesRestore struct {
	Family   packet.Family
	NoFlush  bool
	Counters bool
	Text     string // standard input
	Table    string // -T: restrict to this table; "" for all
}

// Command spells iptables-restore and its options.
func (o IPTablesRestore) Command() string {
	b := []string{tool(o.Family, "iptables-restore")}
	if o.NoFlush {
		b = append(b, "--noflush")
	}
	if o.Counters {
		b = append(b, "--counters")
	}
	if o.Table != "" {
		b = append(b, "-T", o.Table)
	}
	return strings.Join(b, " ")
}

// IPTablesExec is one run of iptables: -N, -I, -A, -D, -F, -X, -P, -C on one table.
type IPTablesExec struct {
	Family packet.Family
	Args   string // as after the command's name, shell-quoted: `-t nat -N KUBE-SERVICES`
}

// Command spells the call.
func (o IPTablesExec) Command() string { return tool(o.Family, "iptables") + " " + o.Args }

// AddressAdd binds an address to an interface that need not exist yet; AddressDelete takes it away.
type AddressAdd struct {
	Interface string
	Prefix    netip.Prefix
}

// Command spells the call.
func (o AddressAdd) Command() string {
	return "ip address add " + o.Prefix.String() + " dev " + o.Interface
}

// AddressDelete removes an address from an interface.
type AddressDelete struct {
	Interface string
	Prefix    netip.Prefix
}

// Command spells the call.
func (o AddressDelete) Command() string {
	return "ip address del " + o.Prefix.String() + " dev " + o.Interface
}

// LinkAdd makes a dummy interface; LinkDelete removes it.
type LinkAdd struct{ Interface string }

// Command spells the call.
func (o LinkAdd) Command() string { return "ip link add " + o.Interface + " type dummy" }

// LinkDelete removes an interface with its addresses.
type LinkDelete struct{ Interface string }

// Command spells the call.
func (o LinkDelete) Command() string { return "ip link del " + o.Interface }

// Sysctl sets a kernel parameter, in dotted form.
type Sysctl struct{ Key, Value string }

// Command spells the call.
func (o Sysctl) Command() string { return "sysctl -w " + o.Key + "=" + o.Value }

// ConntrackDelete removes the connections that a filter selects. Zero fields select everything.
type ConntrackDelete struct {
	Family   packet.Family
	Proto    packet.Protocol
	OrigDst  netip.AddrPort // original destination; a zero port matches any
	ReplySrc netip.AddrPort // source of replies: the endpoint a flow was sent to
	OrigSrc  netip.Addr
}

// Command spells the call as conntrack(8) would.
func (o ConntrackDelete) Command() string {
	b := []string{"conntrack -D"}
	if o.Family == packet.IPv6 {
		b = append(b, "-f ipv6")
	}
	if o.Proto != 0 {
		b = append(b, "-p "+o.Proto.String())
	}
	if o.OrigSrc.IsValid() {
		b = append(b, "--orig-src "+o.OrigSrc.String())
	}
	if a := o.OrigDst.Addr(); a.IsValid() {
		b = append(b, "--orig-dst "+a.String())
	}
	if p := o.OrigDst.Port(); p != 0 {
		b = append(b, "--orig-port-dst "+itoa(p))
	}
	if a := o.ReplySrc.Addr(); a.IsValid() {
		b = append(b, "--reply-src "+a.String())
	}
	if p := o.ReplySrc.Port(); p != 0 {
		b = append(b, "--reply-port-src "+itoa(p))
	}
	return strings.Join(b, " ")
}

func tool(f packet.Family, name string) string {
	if f == packet.IPv6 {
		return strings.Replace(name, "iptables", "ip6tables", 1)
	}
	return name
}

// SetCommands is one run of `ipset restore`: set commands, one a line.
type SetCommands struct{ Text string }

// Command spells the call.
func (o SetCommands) Command() string { return "ipset restore" }
