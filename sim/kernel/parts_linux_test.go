package kernel

import "testing"

// Lines as iptables -S -v prints them (iptables 1.8.9).
func TestCounter(t *testing.T) {
	for line, want := range map[string]RuleCounter{
		"-P FORWARD ACCEPT -c 12 345":                          {Rule: "-P FORWARD ACCEPT", Packets: 12, Bytes: 345},
		"-A X -p tcp -c 600 36400 -j ACCEPT":                   {Rule: "-A X -p tcp -j ACCEPT", Packets: 600, Bytes: 36400},
		"-N KUBE-SERVICES":                                     {Rule: "-N KUBE-SERVICES"},
		`-A X -m comment --comment "a -c 9 9 b" -c 1 2 -j ABC`: {Rule: `-A X -m comment --comment "a -c 9 9 b" -j ABC`, Packets: 1, Bytes: 2},
	} {
		if got := counter(line); got != want {
			t.Errorf("%s: %+v, want %+v", line, got, want)
		}
	}
}
