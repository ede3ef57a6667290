package kubeproxy

import (
	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/nftables"
	"github.com/svclab/svclab/datapath/packet"
)

// NFTHost is a Host whose nftables rules can be read, as the nftables mode needs.
type NFTHost interface {
	Host
	// NFTable returns kube-proxy's table of a family, nil where there is none. The caller must not change it.
	NFTable(packet.Family) *nftables.Table
}

var (
	_ NFTHost = NodeHost{}
	_ NFTHost = (*RulesHost)(nil)
)

// NFTable returns nil: a node holds no nftables rules, since its walk would pass them over.
func (h NodeHost) NFTable(packet.Family) *nftables.Table { return nil }

// NFTable returns kube-proxy's table of a family.
func (h *RulesHost) NFTable(f packet.Family) *nftables.Table {
	return h.NFT.Table(nftables.FamilyOf(f), nftTable)
}

func nftableOf(h Host, f packet.Family) *nftables.Table {
	if n, ok := h.(NFTHost); ok {
		return n.NFTable(f)
	}
	return nil
}

// NFTText prints kube-proxy's table of one family, nothing where there is none. Save style spells it as nft lists it, Native
// as commands.
func (h *RulesHost) NFTText(f packet.Family, style iptables.Style) string {
	if style == iptables.Save {
		return h.NFTable(f).Print(nftables.List, false)
	}
	return h.NFTable(f).Print(nftables.Native, false)
}
