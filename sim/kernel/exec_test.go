package kernel

import (
	"testing"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/packet"
)

// TestExecRun: calls of one family become one text; quotes are iptables-restore's, tables are committed as they change, and every line
// knows its operation.
func TestExecRun(t *testing.T) {
	v4 := func(args string) datapath.Op { return datapath.IPTablesExec{Family: packet.IPv4, Args: args} }
	n, family, text, lines := execRun([]datapath.Op{
		v4("-t nat -N A"),
		v4(`-t nat -I PREROUTING -m comment --comment 'it''s "two" words' -j A`),
		v4("-N B"),
		datapath.IPTablesExec{Family: packet.IPv6, Args: "-N B"},
	})
	want := "*nat\n-N A\n-I PREROUTING -m comment --comment \"its \\\"two\\\" words\" -j A\nCOMMIT\n*filter\n-N B\nCOMMIT\n"
	if n != 3 || family != packet.IPv4 || text != want {
		t.Errorf("%d of %s:\n%s\nwant 3:\n%s", n, family, text, want)
	}
	for output, op := range map[string]int{
		"iptables-restore: line 3 failed":               1,
		"Error occurred at line: 4\nTry `iptables'":     1, // the COMMIT of what came before
		"iptables-nft-restore: line 6 failed: it is so": 2,
		"iptables-restore: line 99 failed":              0,
		"no memory":                                     0,
	} {
		if got := failedLine(output, lines); got != op {
			t.Errorf("%q: operation %d, want %d", output, got, op)
		}
	}
	for _, ops := range [][]datapath.Op{nil, {v4("-F A")}, {v4("-P INPUT DROP")}, {v4(`-N "A`)}, {datapath.IPVSServiceAdd{Service: ipvs.ServiceConfig{}}}} {
		if n, _, _, _ := execRun(ops); n != 0 {
			t.Errorf("%+v: %d calls as one", ops, n)
		}
	}
}
