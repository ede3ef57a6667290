package iptables

import (
	"fmt"
	"strings"
	"testing"

	"github.com/svclab/svclab/datapath/packet"
)

// leave names lines where this package is laxer or stricter than both real back ends, and why.
var leave = map[string]string{
	"filter|-A U -j U":                            "loops are refused even where no hook leads to them",
	"filter|-A INPUT ! -p tcp -m tcp --dport 5":   "only nft takes it, and asks ports of any protocol",
	"filter|:U - [0:0]":                           "a chain declared twice: legacy refuses it",
	"filter|-A INPUT -m set --match-set NONE dst": "which sets exist is known when rules are linked",
	`filter|-A INPUT -m u32 --u32 "0=1"`:          "the program of u32 is kept as given",
	`filter|-A INPUT -i "lo`:                      "a quote that is not closed takes in the new line: kept for comments and patterns alone",
	"filter|[:] -A INPUT -p tcp --dport 1:2":      "the tool loses half of the rule",
	"filter|-A INPUT -p tcp -m tcp --sport ntp":   "names of services are one list for all protocols",
	"filter|-A INPUT -m policy --pol ipsec --dir in --strict --proto esp --next --proto ah": "one transform of a policy is kept",
	`filter|-A INPUT -m physdev ! --physdev-in "" --physdev-is-in`:                          "the tool cannot read its own print of it",
	"filter|:W ACCEPT [0:0]": "a policy on a user chain: legacy refuses it",
}

// TestSpelling compares line by line with what the real tool does: testdata/spelling was recorded from it.
func TestSpelling(t *testing.T) {
	for file, f := range map[string]packet.Family{"testdata/spelling/v4.txt": packet.IPv4, "testdata/spelling/v6.txt": packet.IPv6} {
		lines := strings.Split(strings.TrimSuffix(read(t, file), "\n"), "\n")
		for i := 0; i < len(lines); {
			line := lines[i]
			i++
			if strings.HasPrefix(line, "# ") || strings.HasPrefix(line, "! ") {
				continue
			}
			var want []string
			refused := false
			for ; i < len(lines) && len(lines[i]) > 1 && strings.IndexByte("=~!#", lines[i][0]) >= 0 && lines[i][1] == ' '; i++ {
				switch lines[i][0] {
				case '!':
					refused = true
				case '=', '~':
					if s := lines[i][2:]; s != "" {
						want = append(want, s)
					}
				}
			}
			if leave[line] != "" {
				continue
			}
			checkSpelling(t, fmt.Sprintf("%s:%d", file, i), f, line, want, refused)
		}
	}
}

func checkSpelling(t *testing.T, at string, f packet.Family, line string, want []string, refused bool) {
	t.Helper()
	table, rule, _ := strings.Cut(line, "|")
	rs := NewRuleset(f)
	err := rs.Restore("x", fmt.Sprintf("*%s\n:U - [0:0]\n%s\nCOMMIT\n", table, rule), RestoreOptions{})
	if refused != (err != nil) {
		t.Errorf("%s: %s: refused %v, want %v: %v", at, line, err != nil, refused, err)
		return
	}
	if err != nil {
		return
	}
	var got []string
	for s := range strings.SplitSeq(rs.Print(Save, false), "\n") {
		if strings.HasPrefix(s, "-A") {
			got = append(got, s)
		}
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s: %s\n got %q\nwant %q", at, line, got, want)
	}
}
