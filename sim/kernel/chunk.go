package kernel

import "strings"

// batchBytes bounds a transaction of the nft variant without privilege: its netlink batch must fit the socket's send buffer, which
// only the host's root may grow ("Message too long"). The buffer is twice net.core.wmem_max, 425,984 bytes where nobody changed it.
const batchBytes = 300_000

// What chains and rules are in a netlink batch of iptables-nft 1.8, in bytes, as measured and rounded up. A match that nftables has
// no expression for travels as a compatibility expression with the whole of its xtables structure.
const (
	chainBytes   = 120
	ruleBytes    = 300 // with its target
	matchBytes   = 360
	fieldBytes   = 110 // an address, interface or protocol
	payloadBytes = 160 // of a match that is an expression: tcp, udp, statistic
)

// netlinkBytes is what a line of a restore text is in a netlink batch, at most.
func netlinkBytes(line string) int {
	if line[0] == ':' {
		return chainBytes
	}
	n, words := ruleBytes+len(line), strings.Fields(line)
	for i, w := range words {
		switch w {
		case "-m":
			n += matchBytes
			if i+1 < len(words) && (words[i+1] == "tcp" || words[i+1] == "udp" || words[i+1] == "statistic") {
				n += payloadBytes - matchBytes
			}
		case "-s", "-d", "-i", "-o", "-p":
			n += fieldBytes
		}
	}
	return n
}

// piece is one standard input of iptables-restore. The first of a table is loaded as the whole would be, the others with
// --noflush.
type piece struct {
	text  string
	first bool
}

// chunk splits the standard input of iptables-restore into pieces that together do the same, each of one table and with chains and
// rules that weigh no more than a limit, or one that does. One transaction becomes several: packets may meet a table half loaded.
func chunk(text string, limit int, weigh func(line string) int) []piece {
	var out []piece
	var b strings.Builder
	table, lines, weight, first := "", 0, 0, false
	begin := func(isFirst bool) {
		b.Reset()
		b.WriteString(table + "\n")
		lines, weight, first = 0, 0, isFirst
	}
	for _, l := range strings.Split(text, "\n") {
		t := strings.TrimSpace(l)
		switch {
		case t == "" || t[0] == '#':
		case t[0] == '*':
			table = t
			begin(true)
		case t == "COMMIT":
			if lines > 0 || first {
				out = append(out, piece{b.String() + "COMMIT\n", first})
			}
			lines, first = 0, false
		default:
			w := weigh(t)
			if lines > 0 && weight+w > limit {
				out = append(out, piece{b.String() + "COMMIT\n", first})
				begin(false)
			}
			b.WriteString(l + "\n")
			lines, weight = lines+1, weight+w
		}
	}
	if lines > 0 {
		out = append(out, piece{b.String(), first}) // an original without its COMMIT stays without
	}
	return out
}

// fits says whether all chains and rules of a restore text weigh no more than a limit.
func fits(text string, limit int, weigh func(line string) int) bool {
	for l := range strings.Lines(text) {
		if t := strings.TrimSpace(l); t != "" && t[0] != '#' && t[0] != '*' && t != "COMMIT" {
			limit -= weigh(t)
		}
	}
	return limit >= 0
}
