package kernel

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
)

// execRun spells operations that follow one another at the start of a list, and are single calls of one family's iptables, as the
// standard input of one iptables-restore: a program costs 100 ms in User Mode Linux, and kube-proxy's ipvs mode begins with forty.
// It returns how many they are, 0 where a call is better made as it is, and for each line of the text the operation it is of.
func execRun(ops []datapath.Op) (n int, family packet.Family, text string, lines []int) {
	var b strings.Builder
	table := ""
	add := func(line string) {
		b.WriteString(line + "\n")
		lines = append(lines, n)
	}
	for _, op := range ops {
		o, ok := op.(datapath.IPTablesExec)
		if !ok || n > 0 && o.Family != family {
			break
		}
		in, line, ok := callLine(o.Args)
		if !ok {
			break
		}
		family = o.Family
		if in != table {
			if table != "" {
				n-- // of the operations before it
				add("COMMIT")
				n++
			}
			table = in
			add("*" + table)
		}
		add(line)
		n++
	}
	if n > 0 {
		n--
		add("COMMIT")
		n++
	}
	return n, family, b.String(), lines
}

// callLine is a call's arguments as a line of iptables-restore, with its table. Only calls that change one chain or rule have one.
func callLine(args string) (table, line string, ok bool) {
	words, err := splitWords(args)
	if err != nil {
		return "", "", false
	}
	table = "filter"
	if i := slices.IndexFunc(words, func(w string) bool { return w == "-t" || w == "--table" }); i >= 0 && i+1 < len(words) {
		table = words[i+1]
		words = slices.Delete(words, i, i+2)
	}
	if len(words) < 2 || !slices.Contains([]string{"-N", "-A", "-I", "-D"}, words[0]) {
		return "", "", false
	}
	for i, w := range words {
		if strings.ContainsAny(w, "\n\r") {
			return "", "", false
		}
		if w == "" || strings.ContainsAny(w, " \t\"'\\") {
			words[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(w) + `"`
		}
	}
	return table, strings.Join(words, " "), true
}

// execLine finds the line of its standard input that iptables-restore stopped at.
var execLine = regexp.MustCompile(`line:? ([0-9]+)`)

// failedLine is that line's operation, 0 where the program names none.
func failedLine(output string, lines []int) int {
	if m := execLine.FindStringSubmatch(output); m != nil {
		if i, _ := strconv.Atoi(m[1]); i >= 1 && i <= len(lines) {
			return lines[i-1]
		}
	}
	return 0
}
