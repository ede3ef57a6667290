package kubeproxy

import (
	"cmp"
	"slices"
	"strings"
)

// NormaliseNFT puts a transaction of the nftables mode into a fixed order, since kube-proxy's depends on the order in which it
// visits Services: what all Services share as it stands, then affinity sets, the chains of Services, each made before it is
// flushed, their rules, elements by container and key, and last the deletion of affinity sets.
func NormaliseNFT(text string) string {
	var fixed, lines []nftLine
	for l := range strings.Lines(text) {
		x := orderOf(strings.TrimSuffix(l, "\n"))
		if x.class == 0 {
			fixed = append(fixed, x)
		} else {
			lines = append(lines, x)
		}
	}
	slices.SortStableFunc(lines, func(a, b nftLine) int {
		return cmp.Or(cmp.Compare(a.class, b.class), strings.Compare(a.name, b.name), strings.Compare(a.key, b.key))
	})
	var out strings.Builder
	out.Grow(len(text))
	for _, x := range append(fixed, lines...) {
		out.WriteString(x.text + "\n")
	}
	return out.String()
}

type nftLine struct {
	class     int
	name, key string
	text      string
}

// orderOf says where a command `VERB KIND FAMILY TABLE NAME REST` stands.
func orderOf(text string) nftLine {
	x := nftLine{text: text}
	f := strings.SplitN(text, " ", 6)
	if len(f) < 5 {
		return x
	}
	verb, kind, name := f[0], f[1], f[4]
	switch {
	case kind == "set" && isAffinitySet(name) && verb == "delete":
		x.class = 5
	case kind == "set" && isAffinitySet(name):
		x.class = 1
	case kind == "chain" && isNFTServiceChain(name):
		x.class = 2
	case kind == "rule" && isNFTServiceChain(name):
		x.class = 3
	case kind == "element":
		x.class = 4
		rest, _, _ := strings.Cut(strings.TrimPrefix(f[5], "{ "), " :")
		rest, _, _ = strings.Cut(rest, " comment ")
		x.key = strings.TrimSuffix(rest, " }")
	default:
		return x
	}
	x.name = name
	return x
}
