package kernel

import "strings"

// batchBytes bounds a transaction of the nft variant without privilege: its netlink batch must fit the socket's send buffer, which
// only the host's root may grow ("Message too long"): net.core.wmem_default, 212,992 bytes where nobody changed it. A transaction
// costs tens of milliseconds, however small it is.
const batchBytes = 200_000

// What chains and rules are in a netlink batch of iptables-nft 1.8, in bytes, as measured and rounded up. A match that nftables has
// no expression for travels as a compatibility expression with the whole of its xtables structure.
const (
	chainBytes     = 100
	ruleBytes      = 180 // and a jump
	fieldBytes     = 100 // an address, interface or protocol
	portsBytes     = 120 // tcp, udp
	statisticBytes = 80
	matchBytes     = 330 // any other match
	targetBytes    = 200 // a target with options
)

// netlinkBytes is what a line of a restore text is in a netlink batch, at most.
func netlinkBytes(line string) int {
	if line[0] == ':' {
		return chainBytes
	}
	n, words := ruleBytes, strings.Fields(line)
	for i, w := range words {
		next := ""
		if i+1 < len(words) {
			next = words[i+1]
		}
		switch {
		case w == "-m" && (next == "tcp" || next == "udp"):
			n += portsBytes
		case w == "-m" && next == "statistic":
			n += statisticBytes
		case w == "-m":
			n += matchBytes
		case w == "-s", w == "-d", w == "-i", w == "-o", w == "-p":
			n += fieldBytes
		case w == "-j" && i+2 < len(words):
			n += targetBytes
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
