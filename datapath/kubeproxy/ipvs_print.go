package kubeproxy

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/svclab/svclab/datapath/ipset"
	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

// Print prints what the mode programs: rules, in ipvs mode the four sections of IPVSText, in nftables mode NFTText.
func (p *Compiled) Print(style iptables.Style) string {
	if p.Mode == service.ModeIPVS {
		return p.host.IPVSText(p.Family, style)
	}
	if p.Mode == service.ModeNFTables {
		return p.host.NFTText(p.Family, style)
	}
	return p.Rules.PrintNormalised(style)
}

// IPVSText prints virtual servers, sets, addresses on kube-ipvs0 and rules of one family, each under a line "# name", sorted
// as text where the kernel's or kube-proxy's order is random. Save style spells as the kernel prints them back, Native as
// kube-proxy passes them.
func (h *RulesHost) IPVSText(f packet.Family, style iptables.Style) string {
	var b strings.Builder
	b.WriteString("# ipvsadm -Sn\n")
	b.WriteString(h.virtualText(f))
	b.WriteString("# ipset save\n")
	spelling := ipset.Native
	if style == iptables.Save {
		spelling = ipset.Save
	}
	b.WriteString(h.setText(f, spelling))
	b.WriteString("# addresses on kube-ipvs0\n")
	if list, ok := h.Addresses(DummyInterface); ok {
		var lines []string
		for _, a := range list {
			if packet.FamilyOf(a) == f {
				lines = append(lines, a.String()+"\n")
			}
		}
		slices.Sort(lines)
		b.WriteString(strings.Join(lines, ""))
	} else {
		b.WriteString("(no interface)\n")
	}
	b.WriteString("# iptables-save\n")
	b.WriteString(h.Rules(f).PrintNormalised(style))
	return b.String()
}

// virtualText prints virtual servers with their servers, each sorted as text.
func (h *RulesHost) virtualText(f packet.Family) string {
	list := h.VirtualServers()
	list = slices.DeleteFunc(list, func(s ipvs.ServiceConfig) bool { return s.Key.Family != f })
	SortVirtual(list)
	var out []ipvs.Command
	for _, s := range list {
		out = append(out, ipvs.Command{Op: ipvs.ServiceAdd, Service: s})
		servers, _ := h.RealServers(s.Key)
		slices.SortFunc(servers, func(a, b RealServer) int { return compareText(a.Addr, b.Addr) })
		for _, d := range servers {
			out = append(out, ipvs.Command{Op: ipvs.ServerAdd, Service: ipvs.ServiceConfig{Key: s.Key}, Server: d.DestinationConfig})
		}
	}
	return ipvs.PrintSave(out)
}

func compareText(a, b netip.AddrPort) int { return strings.Compare(a.String(), b.String()) }

// setText prints the sets of one family: the ipvs mode's own by their names, those of others by their type.
func (h *RulesHost) setText(f packet.Family, style ipset.Style) string {
	var b strings.Builder
	keep := false
	for l := range strings.Lines(h.Sets.PrintStyled(h.IPVS.Now(), style)) {
		if words := strings.Fields(l); words[0] == "create" {
			keep = h.setFamily(words[1]) == f
		}
		if keep {
			b.WriteString(l)
		}
	}
	return b.String()
}

func (h *RulesHost) setFamily(name string) packet.Family {
	if s := h.Sets.Set(name); s != nil && s.Family != 0 {
		return s.Family
	}
	if strings.HasPrefix(name, "KUBE-6-") {
		return packet.IPv6
	}
	return packet.IPv4
}
