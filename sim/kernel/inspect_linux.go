package kernel

import (
	"context"
	"fmt"
	"regexp"
	"strconv"

	"github.com/coreos/go-iptables/iptables"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/box"
)

// inspector opens go-iptables on the node. Its processes inherit the network namespace of the calling thread: what they are
// asked for is asked inside Namespace.Do.
func inspector(q inspectRequest) (*iptables.IPTables, error) {
	path, err := box.Tool(toolName(q.Family, q.Variant, ""))
	if err != nil {
		return nil, err
	}
	proto := iptables.ProtocolIPv4
	if q.Family == packet.IPv6 {
		proto = iptables.ProtocolIPv6
	}
	return iptables.New(iptables.IPFamily(proto), iptables.Path(path), iptables.Timeout(10))
}

func (a *agent) inspect(r *box.Request) (*iptables.IPTables, inspectRequest, error) {
	var q inspectRequest
	if err := r.Decode(&q); err != nil {
		return nil, q, err
	}
	var ipt *iptables.IPTables
	err := a.node.Do(func() (err error) { ipt, err = inspector(q); return err })
	return ipt, q, err
}

func (a *agent) versionOf(_ context.Context, r *box.Request) error {
	ipt, q, err := a.inspect(r)
	if err != nil {
		return err
	}
	major, minor, patch := ipt.GetIptablesVersion()
	return r.Answer(Version{
		Release: box.KernelRelease(), Variant: q.Variant, IPTables: fmt.Sprintf("%d.%d.%d", major, minor, patch),
	})
}

func (a *agent) counters(_ context.Context, r *box.Request) error {
	ipt, q, err := a.inspect(r)
	if err != nil {
		return err
	}
	var lines []string
	err = a.node.Do(func() (err error) { lines, err = ipt.ListWithCounters(q.Table, q.Chain); return err })
	if err != nil {
		return err
	}
	out := make([]RuleCounter, 0, len(lines))
	for _, l := range lines {
		out = append(out, counter(l))
	}
	return r.Answer(out)
}

// counterOf finds the counters in a line of iptables -S -v: the last of what looks like them, as a comment may look so too.
var counterOf = regexp.MustCompile(`^(.*) -c ([0-9]+) ([0-9]+)(.*)$`)

// counter takes "-c PACKETS BYTES" out of a line of iptables -S -v.
func counter(line string) RuleCounter {
	m := counterOf.FindStringSubmatch(line)
	if m == nil {
		return RuleCounter{Rule: line}
	}
	c := RuleCounter{Rule: m[1] + m[4]}
	c.Packets, _ = strconv.ParseUint(m[2], 10, 64)
	c.Bytes, _ = strconv.ParseUint(m[3], 10, 64)
	return c
}

func (a *agent) dump(ctx context.Context, r *box.Request) error {
	var q inspectRequest
	if err := r.Decode(&q); err != nil {
		return err
	}
	text, err := a.node.Run(ctx, box.Command{Argv: []string{toolName(q.Family, q.Variant, "-save"), "-c"}})
	if err != nil {
		return err
	}
	return r.Answer(text)
}

func (a *agent) sets(ctx context.Context, r *box.Request) error {
	text, err := a.node.Run(ctx, box.Command{Argv: []string{"ipset", "save"}})
	if err != nil {
		return err
	}
	return r.Answer(text)
}
