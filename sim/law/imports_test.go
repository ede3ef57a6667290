package law

import (
	"slices"
	"strings"
	"testing"
)

// ban is one line of the import direction: no file in `from` may import `to`, but for what it finds in `except` or
// in its own room. Rooms in `not` are no part of `from`.
type ban struct {
	from, not, to, except []string
	why                   string
}

func (b ban) broken(room, path string) bool {
	if !in(room, b.from...) || in(room, b.not...) || !in(path, b.to...) || in(path, b.except...) {
		return false
	}
	return !slices.ContainsFunc(b.from, func(f string) bool { return strings.Contains(f, "/") && in(room, f) && in(path, f) })
}

var bans = []ban{
	{from: r("datapath"), to: r("sim", "cmd", "web", "scenarios"), why: "the model is below every world: it must run in a browser and be read without them"},
	{from: r("sim"), to: r("cmd", "web"), why: "doors open into the house, not out of it: CLI and web call sim/run"},
	{from: r("datapath/packet"), to: r("datapath"), why: "packets are the lowest value: everything else is told in terms of them"},
	{from: r("datapath/journal"), to: r("datapath"), why: "taking changes back knows nothing of what changed"},
	{from: r("datapath/conntrack"), to: r("datapath"), except: r("datapath/packet", "datapath/journal"), why: "connections are below rules: hooks ask conntrack, never the reverse"},
	{from: r("datapath/route"), to: r("datapath"), except: r("datapath/packet", "datapath/journal", "datapath/netfilter"), why: "routing knows addresses, not rules"},
	{from: r("datapath/netfilter"), to: r("datapath"), except: r("datapath/packet", "datapath/conntrack", "datapath/journal"), why: "the walk carries context between mechanisms and so must know none of them"},
	{from: r("datapath/ipset"), to: r("datapath"), except: below, why: mechanisms},
	{from: r("datapath/iptables"), to: r("datapath"), except: below, why: mechanisms},
	{from: r("datapath/ipvs"), to: r("datapath"), except: below, why: mechanisms},
	{from: r("datapath/nftables"), to: r("datapath"), except: below, why: mechanisms},
	{from: r("datapath/service"), to: r("datapath"), except: r("datapath/packet"), why: "what Kubernetes asks for is known before any mode or mechanism is chosen"},
	{from: r("datapath"), to: r("datapath/kubeproxy", "datapath/share"), not: r("datapath/kubeproxy", "datapath/share"), why: "a node runs whatever it is loaded with; policy and analysis stand above it"},
	{from: r("datapath/share"), to: r("datapath/kubeproxy", "datapath/service"), why: "shares are of rules, whoever wrote them"},
	{from: r("datapath/kubeproxy"), to: r("datapath/share", "datapath/conntrack"), why: "policy decides what is programmed, not what comes of it"},
	{from: r("sim/replay", "sim/netstack", "sim/kernel"), to: r("sim/run", "sim/report"), why: "a world is run; it does not run itself or write about it"},
	{from: r("sim/replay", "sim/netstack", "sim/kernel"), to: r("sim/scenario"), why: "worlds are handed operations and flows, never a story or a mode"},
	{from: r("sim/kernel"), to: r("datapath/kubeproxy"), why: "a kernel is loaded with operations; it must not know the mode they came from"},
	{from: r("sim/wire"), to: r("sim"), except: r("sim/vtime", "sim/seed"), why: "captures are bytes and packets: any world may write one, so the room knows none of them"},
	{from: r("sim/netstack"), to: r("datapath/kubeproxy", "sim/input", "sim/dns"), why: "stacks talk through nodes that others loaded, for applications that others wrote"},
	{from: r("sim/run"), to: r("sim/emulator"), why: "a place to work in stands above what one run can do"},
	{from: r("sim/vtime", "sim/seed"), to: r("sim", "datapath"), why: "clock and chance belong to everyone and depend on no one"},
	{from: r("sim/report"), to: r("sim/run"), why: "a report is a value; run makes it"},
}

const mechanisms = "mechanisms do not import one another: what crosses is an interface in netfilter, wired by datapath"

// below are the rooms beneath every mechanism, and each mechanism's own.
var below = r("datapath/packet", "datapath/conntrack", "datapath/netfilter", "datapath/journal", "datapath/route")

// alone lists what only certain rooms may import, tests included or not.
var alone = []struct {
	paths []string
	rooms []string
	tests bool // test files elsewhere may import it too
	why   string
}{
	{paths: r("gvisor.dev/gvisor"), rooms: r("sim/netstack"), why: "TCP stacks stay behind small types of our own, so that the model never leans on them"},
	{paths: r("github.com/google/gopacket"), rooms: r("sim/wire"), why: "it panics and over-allocates on hostile captures: one room bounds what it is handed"},
	{paths: r("os/exec"), rooms: r("sim/box"), tests: true, why: "one room starts processes, so that one room can promise none is left behind"},
	{paths: r("golang.org/x/sys/unix"), rooms: r("sim/box"), tests: true, why: "one room talks to the kernel below Go, so that everything else builds everywhere"},
	{paths: r("syscall"), rooms: r("sim/box", "cmd"), tests: true, why: "one room talks to the kernel below Go; the command line names the signals it hears"},
	{paths: r("github.com/vishvananda/netlink", "github.com/vishvananda/netns"), rooms: r("sim/box", "sim/kernel", "sim/emulator"), tests: true, why: "links are touched only in namespaces that this program made"},
	{paths: r("github.com/moby/ipvs", "github.com/coreos/go-iptables"), rooms: r("sim/box", "sim/kernel"), tests: true, why: "opening them can load kernel modules: only inside the box"},
	{paths: r("github.com/spf13/cobra", "github.com/spf13/pflag"), rooms: r("cmd"), why: "flags are the command line's affair; CLI and web make the same calls"},
	{paths: r("k8s.io"), rooms: r("sim/input", "sim/dns"), tests: true, why: "upstream types are read at one border and become service.State there; cluster DNS answers for the objects themselves"},
	{paths: r("github.com/miekg/dns"), rooms: r("sim/dns", "sim/netstack"), tests: true, why: "DNS is one room's subject"},
}

func r(rooms ...string) []string { return rooms }

func TestImportDirection(t *testing.T) {
	for _, s := range tree(t) {
		for path, pos := range s.imports() {
			if s.test && in(s.room, path) {
				continue // an external test of the room itself
			}
			for _, b := range bans {
				if s.test && !in(path, "cmd", "web") && !in(s.room, "datapath/packet", "datapath/netfilter") {
					continue // tests may look upward for company, but not at the doors
				}
				if b.broken(s.room, path) {
					t.Errorf("%s: %s imports %s: %s", s.at(pos), s.room, path, b.why)
				}
			}
			for _, a := range alone {
				if in(path, a.paths...) && !in(s.room, a.rooms...) && !(a.tests && s.test) {
					t.Errorf("%s: %s imports %s, which only %v may: %s", s.at(pos), s.room, path, a.rooms, a.why)
				}
			}
		}
	}
}

// TestBansCanFail plants one breach of each kind and expects the table to name it.
func TestBansCanFail(t *testing.T) {
	for _, c := range []struct {
		room, path string
		banned     bool
	}{
		{"datapath/ipset", "datapath/iptables", true},
		{"datapath/ipvs", "datapath", true},
		{"datapath/iptables", "datapath/netfilter", false},
		{"datapath/packet", "datapath/netfilter", true},
		{"datapath", "datapath/iptables", false},
		{"datapath", "datapath/kubeproxy", true},
		{"datapath/kubeproxy", "datapath/service", false},
		{"datapath/share", "datapath", false},
		{"sim/replay", "sim/run", true},
		{"sim/run", "sim/replay", false},
		{"sim/run", "cmd/svclab", true},
	} {
		got := slices.ContainsFunc(bans, func(b ban) bool { return b.broken(c.room, c.path) })
		if got != c.banned {
			t.Errorf("%s importing %s: banned %v, expected %v", c.room, c.path, got, c.banned)
		}
	}
}
