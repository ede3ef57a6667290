package run

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/svclab/svclab/datapath/ipset"
	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/nftables"
	"github.com/svclab/svclab/sim/input"
)

// FormatDump reads a dump and prints it back in its dialect.
func FormatDump(src input.Source) (string, error) {
	name, text := sourceName(src.Name), string(src.Data)
	switch k := input.Detect(src.Data); k {
	case input.KindIPTables:
		return formatIPTables(name, text)
	case input.KindIPVSAdm:
		return formatIPVS(name, text)
	case input.KindIPSet:
		return formatIPSet(name, text)
	case input.KindNFT:
		return formatNFT(name, text)
	case input.KindSections:
		return formatSections(name, text)
	case input.KindUnknown, input.KindManifests:
		return "", fmt.Errorf("%s:1: not a dump: iptables-save, ipvsadm -Sn, ipset save and nft list are", name)
	default:
		return "", fmt.Errorf("%s:1: dumps of %s are not read", name, k)
	}
}

func formatIPTables(name, text string) (string, error) {
	d, err := iptables.ReadDump(name, []byte(text))
	if err != nil {
		return "", err
	}
	if d.Refusal != nil {
		return "", d.Refusal // what is printed back is to load again, so what does not load is refused as the tool does
	}
	return d.Print(d.Counters), nil
}

func formatIPVS(name, text string) (string, error) {
	list, err := ipvs.ParseSave(name, text)
	if err != nil {
		return "", err
	}
	return ipvs.PrintSave(list), nil
}

func formatIPSet(name, text string) (string, error) {
	sets, err := ipset.ReadDump(name, []byte(text))
	if err != nil {
		return "", err
	}
	return sets.Print(0), nil
}

func formatNFT(name, text string) (string, error) {
	d, err := nftables.ReadDump(name, []byte(text))
	if err != nil {
		return "", err
	}
	return d.Print(), nil
}

func formatAddresses(name, text string) (string, error) {
	var b strings.Builder
	line := 0
	for l := range strings.Lines(text) {
		line++
		l = strings.TrimSpace(l)
		if l == "" {
			continue
		}
		if _, err := netip.ParseAddr(l); err != nil {
			if _, err := netip.ParsePrefix(l); err != nil {
				return "", fmt.Errorf("%s:%d: %q is not an address", name, line, l)
			}
		}
		b.WriteString(l + "\n")
	}
	return b.String(), nil
}

// sections are the parts of an IPVS node's state, by the line that opens each.
var sections = map[string]func(name, text string) (string, error){
	"# ipvsadm -Sn":             formatIPVS,
	"# ipset save":              formatIPSet,
	"# addresses on kube-ipvs0": formatAddresses,
	"# iptables-save":           formatIPTables,
}

// formatSections prints each section in its own dialect. A section's text keeps its place in the file, by empty lines before
// it, so that errors name the line.
func formatSections(name, text string) (string, error) {
	var out, body strings.Builder
	var format func(name, text string) (string, error)
	flush := func() error {
		if format == nil || strings.TrimSpace(body.String()) == "" {
			return nil
		}
		s, err := format(name, body.String())
		out.WriteString(s)
		return err
	}
	line := 0
	for l := range strings.Lines(text) {
		if f, ok := sections[strings.TrimSpace(l)]; ok {
			if err := flush(); err != nil {
				return "", err
			}
			format = f
			out.WriteString(strings.TrimSpace(l) + "\n")
			body.Reset()
			body.WriteString(strings.Repeat("\n", line+1))
		} else {
			body.WriteString(l)
		}
		line++
	}
	err := flush()
	return out.String(), err
}
