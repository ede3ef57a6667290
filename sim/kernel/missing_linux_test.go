package kernel_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/box"
	"github.com/svclab/svclab/sim/kernel"
)

// TestKernelMissing: where something is missing, the reason is typed and a command mends it.
func TestKernelMissing(t *testing.T) {
	const nobody = 65534
	for _, c := range []struct {
		spoil   string
		vehicle kernel.Vehicle
		uid     int
		want    string
	}{
		{"nothing", kernel.VehicleRootless, nobody, "it works"},
		{"no user namespaces", kernel.VehicleRootless, 0, "rootless: " + string(box.UserNSDisabled) + ": sudo sysctl -w user.max_user_namespaces="},
		{"no tools", kernel.VehicleRootless, nobody, "iptables-legacy: " + string(box.NoTool) + ": sudo apt-get install -y iptables"},
		{"no tools", kernel.VehicleNetns, 0, "iptables-legacy: " + string(box.NoTool) + ": sudo apt-get install -y iptables"},
		{"masked /proc", kernel.VehicleRootless, nobody, "box: " + string(box.ProcRefused) + ": in a container"},
		{"no uml", kernel.VehicleUML, nobody, "linux.uml: " + string(box.NoTool) + ": sudo apt-get install -y user-mode-linux"},
		{"no modules", kernel.VehicleUML, nobody, "uml: " + string(box.NoModules) + ": sudo apt-get install -y --reinstall user-mode-linux"},
		{"no tools", kernel.VehicleUML, nobody, "modprobe: " + string(box.NoTool) + ": sudo apt-get install -y kmod"},
		{"no user namespaces", kernel.VehicleUML, 0, "it works"}, // root needs none
		{"no user namespaces, no privilege", kernel.VehicleUML, 0, "rootless: " + string(box.UserNSDisabled) + ": sudo sysctl -w user.max_user_namespaces="},
		{"nothing", kernel.VehicleUML, nobody, "it works"},
		{"tiny /dev/shm", kernel.VehicleUML, nobody, "it works"}, // its memory lies elsewhere
		{"nothing", kernel.VehicleNetns, nobody, "netns: " + string(box.NamespaceRefused) + ": "},
	} {
		if _, err := box.Tool("linux.uml"); err != nil && c.vehicle == kernel.VehicleUML && c.want == "it works" {
			c.want = "linux.uml: " + string(box.NoTool)
		}
		t.Run(c.spoil+"/"+string(c.vehicle), func(t *testing.T) {
			user := box.Auto
			if strings.HasPrefix(c.spoil, "no user namespaces") {
				user = box.Own // the limit of the user namespace, not of the machine
			}
			b, ctx := startDecoy(t, user)
			if c.uid != 0 && b.User() == box.Own {
				t.Skip("only root can try as another user: this run is unprivileged itself")
			}
			var said string
			if err := b.Call(ctx, "spoil", spoilRequest{Spoil: c.spoil, Vehicle: string(c.vehicle), UID: c.uid}, &said); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(said, c.want) {
				t.Errorf("said %q, want %q", said, c.want)
			}
		})
	}
}

// TestKernelProbe: whatever works here, works for both variants or says what it lacks; netns works exactly for the privileged.
func TestKernelProbe(t *testing.T) {
	needKernel(t)
	_, ctx := start(t, kernel.Config{})
	for _, s := range kernel.Probe(ctx) {
		t.Logf("%s %s: works %v, %+v, %v", s.Vehicle, s.Variant, s.Works, s.Version, s.Missing)
		if s.Works == (s.Missing != nil) || s.Works && (s.Version.Release == "" || s.Version.IPTables == "") {
			t.Errorf("%+v", s)
		}
		if s.Vehicle == kernel.VehicleNetns && !box.Privileged() && s.Works {
			t.Errorf("%s works without privilege", s.Vehicle)
		}
	}
}

// TestKernelOps: addresses, sets, sysctls, connections and single rules, in the order of the list; what fails is named, and a
// sysctl that a namespace may not set is noted.
func TestKernelOps(t *testing.T) {
	needKernel(t)
	p := placeOf(packet.IPv4)
	k, ctx := start(t, kernel.Config{Vehicle: kernel.VehicleRootless, Topology: p.topology(packet.UDP)})
	err := k.Apply(ctx, []datapath.Op{
		datapath.IPTablesExec{Family: packet.IPv4, Args: "-t nat -N KUBE-SERVICES"},
		datapath.IPTablesExec{Family: packet.IPv4, Args: `-t nat -A KUBE-SERVICES -m comment --comment "two words" -j RETURN`},
		datapath.SetCommands{Text: "create KUBE-X hash:ip,port\nadd KUBE-X 10.0.0.1,tcp:80\n"},
		datapath.AddressAdd{Interface: "eth0", Prefix: host("192.168.8.12")},
		datapath.Sysctl{Key: "net.ipv4.conf.all.route_localnet", Value: "1"},
		datapath.Sysctl{Key: "net.netfilter.nf_conntrack_max", Value: "1000"},
		datapath.IPTablesRestore{Family: packet.IPv4, NoFlush: true, Text: "*nat\n-A PREROUTING -d " + p.cluster.String() + " -p udp -j DNAT --to-destination " + p.pods[1].String() + "\nCOMMIT\n"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := k.Notes(); len(n) != 1 || n[0].Index != 5 {
		t.Errorf("notes %+v", n)
	}
	dump, err := k.Dump(ctx, packet.IPv4)
	if err != nil || !strings.Contains(dump, `-A KUBE-SERVICES -m comment --comment "two words" -j RETURN`) {
		t.Errorf("%v\n%s", err, dump)
	}
	if sets, err := k.DumpSets(ctx); err != nil || !strings.Contains(sets, "add KUBE-X 10.0.0.1,tcp:80") {
		t.Errorf("%v\n%s", err, sets)
	}
	flow := kernel.Flow{Proto: packet.UDP, Src: port0(p.pod), Dst: addrPort(p.cluster, 80)}
	log, err := k.Run(ctx, []kernel.Flow{flow, flow}, kernel.RunOptions{})
	if err != nil || log.Outcomes[0].Failure != box.None {
		t.Fatalf("%v %+v", err, log)
	}
	tracked := func() int {
		t.Helper()
		list, err := k.Conntrack(ctx, packet.IPv4)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, e := range list {
			if e.Orig.Dst == flow.Dst && e.Reply.Src == addrPort(p.pods[1], 80) && e.Orig.Proto == packet.UDP {
				n++
			}
		}
		return n
	}
	if n := tracked(); n != 2 {
		t.Errorf("%d connections are tracked, want 2", n)
	}
	keep := datapath.ConntrackDelete{Family: packet.IPv4, Proto: packet.UDP, OrigDst: addrPort(p.cluster, 81)}
	drop := datapath.ConntrackDelete{Family: packet.IPv4, Proto: packet.UDP, OrigDst: addrPort(p.cluster, 80), ReplySrc: addrPort(p.pods[1], 80)}
	for i, op := range []datapath.Op{keep, drop} {
		if err := k.Apply(ctx, []datapath.Op{op}); err != nil {
			t.Fatal(err)
		}
		if n := tracked(); n != 2-2*i {
			t.Errorf("%d connections after %s", n, op.Command())
		}
	}
	err = k.Apply(ctx, []datapath.Op{drop, datapath.IPTablesRestore{Family: packet.IPv4, Text: "*nat\n-A NOWHERE -j ACCEPT\nCOMMIT\n"}})
	var at *datapath.OpError
	var failed *box.CommandError
	if !errors.As(err, &at) || at.Index != 1 || !errors.As(err, &failed) || failed.Exit == 0 {
		t.Errorf("a rule in no chain: %v", err)
	}
}

func host(a string) netip.Prefix {
	ip := netip.MustParseAddr(a)
	return netip.PrefixFrom(ip, ip.BitLen())
}

func addrPort(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }
