package input

import (
	"bytes"
	"strings"
)

// Kind is what a file is, as far as its text tells.
type Kind string

// The kinds of files. The zero value is none of them.
const (
	KindManifests Kind = "manifests"     // YAML or JSON: Kubernetes objects, or another YAML file of this project
	KindIPTables  Kind = "iptables-save" // also the forms of iptables -S, fragments, and input of iptables-restore
	KindIPVSAdm   Kind = "ipvsadm"       // ipvsadm -Sn, and the listing of ipvsadm -Ln
	KindIPSet     Kind = "ipset"         // ipset save, and the listing of ipset list
	KindNFT       Kind = "nft"           // nft list, nft commands
	KindNFTJSON   Kind = "nft-json"      // nft -j list
	KindSections  Kind = "ipvs-sections" // the four sections of an IPVS node, each opened by "# NAME"
	KindConntrack Kind = "conntrack"     // conntrack -L, /proc/net/nf_conntrack
	KindUnknown   Kind = ""              // none of these: ErrNotInput
)

// IsDump reports whether the kind is one tool's print of a kernel's state.
func (k Kind) IsDump() bool { return k != KindManifests && k != KindUnknown }

// maxLook is how many bytes Detect looks at, a line at a time.
const maxLook = 1 << 20

// Detect tells what a file is from its first telling line. Comments, blank lines and warnings of the tools are passed
// over. It never fails: what it calls a kind may still be full of faults, which that kind's parser names.
func Detect(data []byte) Kind {
	data = bytes.TrimPrefix(data, bom)
	if len(data) > maxLook {
		data = data[:maxLook]
	}
	if t := bytes.TrimLeft(data, " \t\r\n"); len(t) > 0 && (t[0] == '{' || t[0] == '[') && !counters(string(t[:min(len(t), 64)])) {
		if head := t[:min(len(t), 200)]; bytes.Contains(head, []byte(`"nftables"`)) {
			return KindNFTJSON
		}
		return KindManifests
	}
	weak := KindUnknown
	for raw := range bytes.Lines(data) {
		if len(raw) > 4096 {
			raw = raw[:4096]
		}
		line := strings.TrimSpace(string(raw))
		if line == "" {
			continue
		}
		if section(line) {
			return KindSections
		}
		if k, sure := lineKind(line); sure {
			return k
		} else if weak == KindUnknown {
			weak = k
		}
	}
	return weak
}

func section(line string) bool {
	switch line {
	case "# ipvsadm -Sn", "# ipset save", "# addresses on kube-ipvs0", "# iptables-save":
		return true
	}
	return false
}

// lineKind tells what a line belongs to, and whether it could belong to nothing else.
func lineKind(line string) (Kind, bool) {
	if line[0] == '#' {
		if strings.HasPrefix(line, "#!") && strings.Contains(line, "nft") {
			return KindNFT, true
		}
		return KindUnknown, false
	}
	if line[0] == '*' && tableName(strings.TrimSpace(line[1:])) || line == "COMMIT" {
		return KindIPTables, true
	}
	f := strings.Fields(line)
	switch f[0] {
	case "-A", "-a", "-E", "-e", "--add-service", "--add-server":
		if len(f) > 1 {
			switch f[1] {
			case "-t", "-u", "-f", "--tcp-service", "--udp-service", "--sctp-service", "--fwmark-service":
				return KindIPVSAdm, true
			}
		}
		if f[0] == "-A" && len(f) > 1 {
			return KindIPTables, true
		}
	case "-P", "-N", "-I", "--append", "--policy", "--new-chain", "-F", "-X", "-D":
		return KindIPTables, len(f) > 1
	case "IP", "Prot", "TCP", "UDP", "SCTP", "->":
		if strings.HasPrefix(line, "IP Virtual Server") || strings.HasPrefix(line, "Prot LocalAddress") || hostPort(f) {
			return KindIPVSAdm, true
		}
	case "create", "add", "Name:":
		if k, ok := setOrNFT(f); ok {
			return k, true
		}
	case "table", "flush", "delete", "destroy", "insert":
		if len(f) > 1 && nftWord(f[1]) && !strings.HasSuffix(f[0], ":") {
			return KindNFT, true
		}
	case "ipv4", "ipv6", "tcp", "udp", "icmp", "sctp":
		if strings.Contains(line, "src=") && strings.Contains(line, "dst=") {
			return KindConntrack, true
		}
	}
	if line[0] == ':' && len(f) >= 2 && len(f[0]) > 1 || counters(line) {
		return KindIPTables, true
	}
	return manifestLine(line, f)
}

func tableName(s string) bool {
	switch s {
	case "filter", "nat", "mangle", "raw", "security":
		return true
	}
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz") == ""
}

func hostPort(f []string) bool {
	return len(f) > 2 && strings.Contains(f[1], ":")
}

func nftWord(s string) bool {
	switch s {
	case "ip", "ip6", "inet", "arp", "bridge", "netdev", "table", "chain", "ruleset", "rule", "set", "map", "element":
		return true
	}
	return false
}

func setOrNFT(f []string) (Kind, bool) {
	switch {
	case f[0] == "Name:":
		return KindIPSet, len(f) == 2
	case f[0] == "add" && len(f) > 1 && nftWord(f[1]):
		return KindNFT, true
	case f[0] == "create" && len(f) > 2 && strings.Contains(f[2], ":"):
		return KindIPSet, true
	case f[0] == "add" && len(f) > 2:
		return KindIPSet, true
	}
	return KindUnknown, false
}

// counters reports whether a line begins with [packets:bytes], as rules of iptables-save -c do.
func counters(line string) bool {
	if !strings.HasPrefix(line, "[") {
		return false
	}
	inner, _, ok := strings.Cut(line[1:], "]")
	p, b, two := strings.Cut(inner, ":")
	return ok && two && p != "" && b != "" && strings.Trim(p+b, "0123456789") == ""
}

// manifestLine recognises YAML: a document marker or directive is sure, a key with a colon or an item likely.
func manifestLine(line string, f []string) (Kind, bool) {
	if line == "---" || strings.HasPrefix(line, "--- ") || line == "..." || strings.HasPrefix(line, "%YAML") {
		return KindManifests, true
	}
	word, rest, ok := strings.Cut(line, ":")
	if ok && (rest == "" || rest[0] == ' ' || rest[0] == '\t') && !strings.ContainsAny(strings.TrimPrefix(word, "- "), " \t") {
		return KindManifests, true
	}
	if ok && word != "" && (word[0] == '"' || word[0] == '\'') {
		return KindManifests, true
	}
	if f[0] == "-" {
		return KindManifests, false
	}
	return KindUnknown, false
}
