package ipset

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// TestKubeProxySets loads sets as kube-proxy makes them and compares with ipset save of a Linux 6.1 kernel (testdata/kubeproxy).
func TestKubeProxySets(t *testing.T) {
	files, _ := filepath.Glob("testdata/kubeproxy/*-save.txt")
	if len(files) < 5 {
		t.Fatalf("%d files", len(files))
	}
	for _, save := range files {
		in, err := os.ReadFile(strings.TrimSuffix(save, "-save.txt") + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		want, _ := os.ReadFile(save)
		st, err := ReadDump(save, in)
		if err != nil {
			t.Error(err)
			continue
		}
		if d := cmp.Diff(string(want), st.PrintNormalised(0)); d != "" {
			t.Errorf("%s (-kernel +printed):\n%s", save, d)
		}
	}
}

// TestDumps reads what operators pasted, in both forms, and round-trips it.
func TestDumps(t *testing.T) {
	for file, entries := range map[string]int{"01-kind-list-cluster-ip": 9, "02-minikube-list": 6, "03-weave-ipvs-save": 10} {
		b, err := os.ReadFile("testdata/dumps/" + file + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		st, err := ReadDump(file, b)
		if err != nil {
			t.Error(err)
			continue
		}
		n := 0
		for _, name := range st.Names() {
			n += st.Set(name).Len()
		}
		if n != entries {
			t.Errorf("%s: %d entries, want %d", file, n, entries)
		}
		again, err := ReadDump(file, []byte(st.Print(0)))
		if err != nil || again.Print(0) != st.Print(0) {
			t.Errorf("%s: %v\n%s", file, err, st.Print(0))
		}
	}
}

// TestSpelling: expectations recorded from ipset 7.17.
func TestSpelling(t *testing.T) {
	st := NewStore()
	in := `create A hash:ip family inet hashsize 1024 maxelem 65536 netmask 24 timeout 100 counters comment
create B hash:net family inet6 hashsize 1024 maxelem 65536
create C hash:ip,port,net
create D bitmap:port range 0-65535
create F hash:net,iface
create I bitmap:ip range 10.0.0.0/24
create M hash:ip,port
create E list:set
add A 10.0.0.1 timeout 50 packets 5 bytes 6 comment "hello"
add B fd00::1 nomatch
add B fd00::/64
add C 10.0.0.1,80,10.0.0.0/8
add C 10.0.0.1,udp:53,10.0.0.1
add D 90-92
add F 10.0.0.0/8,eth0
add F 10.0.0.0/8,physdev:eth0
add I 10.0.0.5
add M 10.0.0.1-10.0.0.2,sctp:5
add M 10.0.0.0/31,tcp:80
add E A
add E B before A
`
	want := `create A hash:ip family inet hashsize 1024 maxelem 65536 netmask 24 timeout 100 counters comment
add A 10.0.0.0 timeout 50 packets 5 bytes 6 comment "hello"
create B hash:net family inet6 hashsize 1024 maxelem 65536
add B fd00::1 nomatch
add B fd00::/64
create C hash:ip,port,net family inet hashsize 1024 maxelem 65536
add C 10.0.0.1,tcp:80,10.0.0.0/8
add C 10.0.0.1,udp:53,10.0.0.1
create D bitmap:port range 0-65535
add D 90
add D 91
add D 92
create F hash:net,iface family inet hashsize 1024 maxelem 65536
add F 10.0.0.0/8,eth0
add F 10.0.0.0/8,physdev:eth0
create I bitmap:ip range 10.0.0.0-10.0.0.255
add I 10.0.0.5
create M hash:ip,port family inet hashsize 1024 maxelem 65536
add M 10.0.0.1,sctp:5
add M 10.0.0.2,sctp:5
add M 10.0.0.0,tcp:80
add M 10.0.0.1,tcp:80
create E list:set size 8
add E B
add E A
`
	if err := st.Restore(0, "f", in); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, st.Print(0)); d != "" {
		t.Errorf("(-ipset +printed):\n%s", d)
	}
	if got := st.Print(51 * time.Second); strings.Contains(got, "add A") {
		t.Error("an entry outlives its timeout")
	}
}

// TestRefusals: as ipset 7.17 refuses.
func TestRefusals(t *testing.T) {
	st := NewStore()
	must(t, st, "create A hash:ip\ncreate B hash:net\ncreate L list:set\nadd L A\nadd A 10.0.0.1\ncreate P bitmap:port range 1-10\ncreate T hash:ip maxelem 1\nadd T 1.1.1.1")
	for cmd, want := range map[string]error{
		"create A hash:ip": ErrSetExists, "add A 10.0.0.1": ErrEntryExists, "del A 10.0.0.2": ErrNoEntry, "test A 10.0.0.2": ErrNoEntry,
		"destroy A": ErrInUse, "rename A Z": ErrInUse, "rename B A": ErrSetExists, "swap A B": ErrTypeMismatch, "add X 1.1.1.1": ErrNoSet,
		"add L X": ErrNoSet, "add T 1.1.1.2": ErrFull, "add B 0.0.0.0/0": nil, "add P 11": nil, "add A 10.0.0.999": nil, "add A fd00::1": nil,
		"create C hash:foo": nil, "create C bitmap:port": nil, "frob A": nil, "add A": nil, "add A 10.0.0.0/8": nil, "create C hash:ip family inet7": nil,
	} {
		err := st.Exec(0, cmd)
		var e *CommandError
		if !errors.As(err, &e) || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", cmd, err, want)
		}
	}
	for _, cmd := range []string{"create A hash:ip -exist", "add -exist A 10.0.0.1", "del A 10.0.0.9 -exist"} {
		if err := st.Exec(0, cmd); err != nil {
			t.Error(err)
		}
	}
	if err := st.Restore(0, "f", "\n\nadd A x\n"); err == nil || !strings.HasPrefix(err.Error(), "f:3: ") {
		t.Error(err)
	}
}

func must(t *testing.T, st *Store, text string) {
	t.Helper()
	if err := st.Restore(0, "f", text); err != nil {
		t.Fatal(err)
	}
}

// TestContains is the matrix of families, protocols and kube-proxy's set types: dimensions as kube-proxy's rules give them.
func TestContains(t *testing.T) {
	for _, f := range []string{"inet", "inet6"} {
		a, b, net := "10.96.0.1", "10.244.1.5", "10.244.0.0/16"
		if f == "inet6" {
			a, b, net = "fd00:96::1", "fd00:244::5", "fd00:244::/32"
		}
		for name, proto := range map[string]packet.Protocol{"tcp": packet.TCP, "udp": packet.UDP, "sctp": packet.SCTP} {
			st := NewStore()
			must(t, st, strings.ReplaceAll(fmt.Sprintf(`create VIP hash:ip,port family F
create LOOP hash:ip,port,ip family F
create CIDR hash:ip,port,net family F
create IPS hash:ip family F
create PORT bitmap:port range 0-65535
add VIP %[1]s,%[4]s:80
add LOOP %[2]s,%[4]s:80,%[2]s
add CIDR %[1]s,%[4]s:80,%[3]s
add IPS %[1]s
add PORT 80`, a, b, net, name), "F", f))
			src, dst := netip.MustParseAddr(b), netip.MustParseAddr(a)
			p := &packet.Packet{Src: netip.AddrPortFrom(src, 999), Dst: netip.AddrPortFrom(dst, 80), Proto: proto}
			loop := &packet.Packet{Src: netip.AddrPortFrom(src, 999), Dst: netip.AddrPortFrom(src, 80), Proto: proto}
			d, s := netfilter.Dimension{}, netfilter.Dimension{Source: true}
			w := &netfilter.Walk{}
			for _, c := range []struct {
				set  string
				dims []netfilter.Dimension
				p    *packet.Packet
				want bool
			}{
				{"VIP", []netfilter.Dimension{d, d}, p, true}, {"VIP", []netfilter.Dimension{s, d}, p, false},
				{"VIP", []netfilter.Dimension{d}, p, false}, {"LOOP", []netfilter.Dimension{d, d, s}, loop, true},
				{"LOOP", []netfilter.Dimension{d, d, s}, p, false}, {"CIDR", []netfilter.Dimension{d, d, s}, p, true},
				{"CIDR", []netfilter.Dimension{d, d, d}, p, false}, {"IPS", []netfilter.Dimension{d}, p, true},
				{"IPS", []netfilter.Dimension{s}, p, false}, {"PORT", []netfilter.Dimension{d}, p, proto != packet.SCTP},
				{"NONE", []netfilter.Dimension{d}, p, false},
			} {
				if got := st.Contains(w, c.set, c.dims, c.p); got != c.want {
					t.Errorf("%s %s %s %v: %v", f, name, c.set, c.dims, got)
				}
			}
		}
	}
}

// TestNetworks: the most specific network decides, and a nomatch entry is a hole (ipset(8), hash:net).
func TestNetworks(t *testing.T) {
	st := NewStore()
	must(t, st, "create N hash:net\nadd N 10.0.0.0/8\nadd N 10.1.0.0/16 nomatch\nadd N 10.1.2.0/24\ncreate L list:set\nadd L N")
	for a, want := range map[string]bool{"10.9.9.9": true, "10.1.9.9": false, "10.1.2.3": true, "11.0.0.1": false} {
		p := &packet.Packet{Src: netip.MustParseAddrPort("1.1.1.1:1"), Dst: netip.AddrPortFrom(netip.MustParseAddr(a), 80), Proto: packet.TCP}
		for _, set := range []string{"N", "L"} {
			if got := st.Contains(&netfilter.Walk{}, set, []netfilter.Dimension{{}}, p); got != want {
				t.Errorf("%s in %s: %v", a, set, got)
			}
		}
	}
}

// FuzzReadDump: what is read prints to a text that reads to the same print.
func FuzzReadDump(f *testing.F) {
	f.Add("create A hash:ip\nadd A 10.0.0.0/30\n")                                                  // a network that becomes addresses
	f.Add("create A hash:net\nadd A 10.0.0.1-10.0.0.9 nomatch\n")                                   // a range that becomes networks
	f.Add("create A hash:ip,port,net timeout 9\nadd A 1.1.1.1,80,1.0.0.0/8\n")                      // default protocol and timeout
	f.Add("create A bitmap:port range 1-9\nadd A 3-5\n")                                            // port range
	f.Add("  Name: A\n Type: hash:ip\n Header: family inet6\n Members:\n fd00::1\n")                // pasted listing
	f.Add("create L list:set\ncreate A hash:mac\nadd L A\nadd A 00:11:22:33:44:55 comment \"x\"\n") // a list of a later set
	f.Fuzz(func(t *testing.T, in string) {
		st, err := ReadDump("f", []byte(in))
		if err != nil {
			return
		}
		out := st.Print(0)
		again, err := ReadDump("f", []byte(out))
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if got := again.Print(0); got != out {
			t.Fatalf("first:\n%s\nthen:\n%s", out, got)
		}
	})
}

// Expectations: ip_set_getport.c (protocols without ports are compared by themselves, later fragments have no ports),
// mtype_same_set (what -exist takes for the same set), ip_set_timeout_get (the last second).
func TestKernelDetails(t *testing.T) {
	st := NewStore()
	must(t, st, "create P hash:ip,port\nadd P 10.0.0.1,47:0\nadd P 10.0.0.1,tcp:80\ncreate T hash:ip timeout 10\nadd T 10.0.0.1")
	d := []netfilter.Dimension{{}, {}}
	p := packet.Packet{Src: netip.MustParseAddrPort("1.1.1.1:0"), Dst: netip.MustParseAddrPort("10.0.0.1:0"), Proto: 47}
	if !st.Contains(&netfilter.Walk{}, "P", d, &p) {
		t.Error("a protocol without ports is not found")
	}
	if p.FragmentOffset = 9; !st.Contains(&netfilter.Walk{}, "P", d, &p) {
		t.Error("a later fragment of it is not found")
	}
	p.Proto, p.Dst = packet.TCP, netip.MustParseAddrPort("10.0.0.1:80")
	if st.Contains(&netfilter.Walk{}, "P", d, &p) {
		t.Error("a later fragment has a port")
	}
	for cmd, same := range map[string]bool{
		"create T hash:ip timeout 10 hashsize 64 -exist": true, "create T hash:ip timeout 11 -exist": false, "create T hash:ip -exist": false,
		"create T hash:ip timeout 10 maxelem 7 -exist": false, "create T hash:ip family inet6 timeout 10 -exist": false,
	} {
		if err := st.Exec(0, cmd); (err == nil) != same {
			t.Errorf("%s: %v", cmd, err)
		}
	}
	if got := st.PrintNormalised(9500 * time.Millisecond); !strings.Contains(got, "add T 10.0.0.1 timeout 1\n") {
		t.Error(got)
	}
}

// Networks of one address in both spellings.
func TestStyles(t *testing.T) {
	st := NewStore()
	must(t, st, "create C hash:ip,port,net\nadd C 10.0.0.1,tcp:80,10.0.0.9/32\nadd C 10.0.0.1,tcp:80,10.0.0.0/8\ncreate I hash:ip\nadd I 10.0.0.1")
	for style, want := range map[Style]string{
		Save:   "add C 10.0.0.1,tcp:80,10.0.0.0/8\nadd C 10.0.0.1,tcp:80,10.0.0.9\n",
		Native: "add C 10.0.0.1,tcp:80,10.0.0.0/8\nadd C 10.0.0.1,tcp:80,10.0.0.9/32\n",
	} {
		if got := st.PrintStyled(0, style); !strings.Contains(got, want) || !strings.Contains(got, "add I 10.0.0.1\n") {
			t.Error(got)
		}
	}
}
