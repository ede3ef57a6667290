package box

import (
	"fmt"
	"net/netip"
	"sort"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Conntrack lists the namespace's connections of one family, sorted by their original tuple.
func (n *Namespace) Conntrack(f packet.Family) ([]ConntrackEntry, error) {
	flows, err := n.links.ConntrackTableList(netlink.ConntrackTable, inetFamily(f))
	if err != nil {
		return nil, fmt.Errorf("conntrack table of %s: %w", n.Name, err)
	}
	out := make([]ConntrackEntry, 0, len(flows))
	for _, fl := range flows {
		out = append(out, entry(fl))
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Orig.String() < out[j].Orig.String() })
	return out, nil
}

// DeleteConntrack removes the connections that match says, and returns how many there were.
func (n *Namespace) DeleteConntrack(f packet.Family, match func(ConntrackEntry) bool) (int, error) {
	c, err := n.links.ConntrackDeleteFilters(netlink.ConntrackTable, inetFamily(f), entryFilter(match))
	if err != nil {
		return int(c), fmt.Errorf("conntrack table of %s: %w", n.Name, err)
	}
	return int(c), nil
}

type entryFilter func(ConntrackEntry) bool

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (m entryFilter) MatchConntrackFlow(f *netlink.ConntrackFlow) bool { return m(entry(f)) }

func entry(f *netlink.ConntrackFlow) ConntrackEntry {
	e := ConntrackEntry{
		Orig: tuple(f.Forward), Reply: tuple(f.Reverse), Mark: f.Mark, TimeoutSeconds: f.TimeOut,
		OrigPackets: f.Forward.Packets, ReplyPackets: f.Reverse.Packets, OrigBytes: f.Forward.Bytes, ReplyBytes: f.Reverse.Bytes,
	}
	if t, ok := f.ProtoInfo.(*netlink.ProtoInfoTCP); ok && t != nil {
		e.TCPState = t.State
	}
	return e
}

func tuple(t netlink.IPTuple) packet.Tuple {
	src, _ := netip.AddrFromSlice(t.SrcIP)
	dst, _ := netip.AddrFromSlice(t.DstIP)
	if t4 := t.SrcIP.To4(); t4 != nil {
		src, _ = netip.AddrFromSlice(t4)
	}
	if t4 := t.DstIP.To4(); t4 != nil {
		dst, _ = netip.AddrFromSlice(t4)
	}
	return packet.Tuple{
		Src: netip.AddrPortFrom(src, t.SrcPort), Dst: netip.AddrPortFrom(dst, t.DstPort), Proto: packet.Protocol(t.Protocol),
	}
}

func inetFamily(f packet.Family) netlink.InetFamily {
	if f == packet.IPv6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}
