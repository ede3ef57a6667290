package sequence

import (
	"slices"
	"strings"
)

// callOrder gives the place of a call among others of one sync, where kube-proxy visits Services, servers and entries in
// random order: iptables; the interface; sets; virtual servers by address, each followed by its real servers; addresses
// bound; entries, those deleted first; addresses removed; virtual servers deleted. Calls of one place stay in order.
type callOrder struct {
	stage int
	key   string
	then  string
}

const (
	stageRules = iota
	stageInterface
	stageSets
	stageServers
	stageBind
	stageEntries
	stageUnbind
	stageDelete
)

// sortCalls orders the calls of one sync. The calls of a clean-up are in a fixed order and stay as they are, but for the
// interface, which is told of before the sets.
func sortCalls(calls []string) {
	if slices.Contains(calls, "ipvsadm -C") {
		moveInterface(calls)
		return
	}
	slices.SortStableFunc(calls, func(a, b string) int {
		x, y := orderOf(a), orderOf(b)
		if x.stage != y.stage {
			return x.stage - y.stage
		}
		if c := strings.Compare(x.key, y.key); c != 0 {
			return c
		}
		return strings.Compare(x.then, y.then)
	})
}

func orderOf(call string) callOrder {
	w := strings.Fields(call)
	at := func(i int) string {
		if i < len(w) {
			return w[i]
		}
		return ""
	}
	switch at(0) {
	case "ip":
		switch {
		case at(1) == "link":
			return callOrder{stage: stageInterface}
		case at(2) == "add":
			return callOrder{stage: stageBind, key: at(3)}
		}
		return callOrder{stage: stageUnbind, key: at(3)}
	case "ipset":
		if at(1) == "create" {
			return callOrder{stage: stageSets, key: at(2)}
		}
		del := "1"
		if at(1) == "del" {
			del = "0"
		}
		return callOrder{stage: stageEntries, key: at(2), then: del + at(3)}
	case "ipvsadm":
		virtual := at(2) + " " + at(3)
		switch at(1) {
		case "--set":
			return callOrder{stage: stageInterface}
		case "-D":
			return callOrder{stage: stageDelete, key: virtual}
		case "-A", "-E":
			return callOrder{stage: stageServers, key: virtual}
		}
		return callOrder{stage: stageServers, key: virtual, then: at(5)}
	}
	return callOrder{}
}

// moveInterface puts the deletion of the interface behind the calls of iptables.
func moveInterface(calls []string) {
	i := slices.IndexFunc(calls, func(c string) bool { return strings.HasPrefix(c, "ip link del ") })
	if i < 0 {
		return
	}
	for ; i+1 < len(calls) && strings.HasPrefix(calls[i+1], "iptables "); i++ {
		calls[i], calls[i+1] = calls[i+1], calls[i]
	}
}
