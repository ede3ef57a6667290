package ipvs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func read(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Expectation: the text itself; lines as a Linux 6.1 kernel and ipvsadm 1.31 printed them.
func TestSaveTextIsPrintedBack(t *testing.T) {
	text := read(t, "testdata/save.txt")
	c, err := ParseSave("save.txt", text)
	if err != nil {
		t.Fatal(err)
	}
	compareText(t, "save.txt", PrintSave(c), text)
}

// Expectation: counted in the pastes, which are of real clusters.
func TestPastesAreRead(t *testing.T) {
	for _, c := range []struct {
		file              string
		services, servers int
	}{
		{"01-networkop-kind.txt", 12, 20},
		{"02-kep-265-lb.txt", 3, 3},
		{"03-weights-wrr.txt", 1, 3},
		{"04-stats.txt", 1, 3},
		{"05-minikube-otus.txt", 1, 3},
		{"06-wlc-by-hand.txt", 1, 2},
		{"07-feisky-persistent.txt", 3, 3},
		{"08-persistent-calico.txt", 7, 13},
	} {
		text := read(t, filepath.Join("testdata", "pastes", c.file))
		if !IsList(text) {
			t.Errorf("%s is not taken for a listing", c.file)
		}
		d, err := ParseList(c.file, text)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		n := 0
		for _, s := range d.Services {
			n += len(s.Servers)
		}
		if len(d.Services) != c.services || n != c.servers {
			t.Errorf("%s: %d services, %d servers, want %d, %d", c.file, len(d.Services), n, c.services, c.servers)
		}
		if _, err := d.Table(DefaultSysctls()); err != nil {
			t.Errorf("%s: %v", c.file, err)
		}
	}
}

// Expectation: the paste itself, which ipvsadm printed without the trailing blanks of its columns.
func TestAListingOfAPasteIsThePaste(t *testing.T) {
	const file = "testdata/pastes/01-networkop-kind.txt"
	text := read(t, file)
	d, err := ParseList(file, text)
	if err != nil {
		t.Fatal(err)
	}
	tab, err := d.Table(DefaultSysctls())
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(tab.List(ListServers)) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	compareText(t, file, b.String(), strings.TrimRight(text, "\n")+"\n")
}

func TestPersistenceOfAPasteIsRead(t *testing.T) {
	d, err := ParseList("", read(t, "testdata/pastes/07-feisky-persistent.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if s := d.Services[0]; s.Persistence != 3*time.Hour || s.Servers[0].Active != 1 {
		t.Fatalf("%+v", s)
	}
}

// Expectation: the reasons are those of ipvsadm 1.31 and of the kernel (testdata/session.txt), or of the format.
func TestBadTextGetsAnErrorWithItsLine(t *testing.T) {
	save := func(s string) error { _, err := ParseSave("f", s); return err }
	list := func(s string) error { _, err := ParseList("f", s); return err }
	proc := func(s string) error { _, err := ParseProcServices("f", s, 100); return err }
	for _, c := range []struct {
		read func(string) error
		text string
		line int
		want error
	}{
		{save, "-A -t 10.0.0.1:80 -s rr\n-A -t 10.0.0.2:80 -s random\n", 2, ErrUnknownScheduler},
		{save, "-A -t 10.0.0.1:80 -s rr -b sh-port", 1, ErrSchedulerFlag},
		{save, "-A -t 10.0.0.1:0 -s rr", 1, ErrZeroPort},
		{save, "-A -t 10.0.0.1:80 -s rr -o", 1, ErrOnePacket},
		{save, "-a -t 10.0.0.1:80 -r 10.0.0.2:80 -m -w -1", 1, ErrNegativeWeight},
		{save, "-a -t 10.0.0.1:80 -r 10.0.0.2:80 -m -w 70000", 1, ErrBadValue},
		{save, "-a -t 10.0.0.1:80 -r [fd00::1]:80 -m", 1, ErrMixedFamilies},
		{save, "-a -t 10.0.0.1:80 -r 10.0.0.2:80 -m -x 5 -y 6", 1, ErrThresholds},
		{save, "-a -t 10.0.0.1:80 -r 10.0.0.2:80 -i --tun-type gue", 1, ErrNotModelled},
		{save, "-A -t 10.0.0.1:80 --pe sip", 1, ErrNotModelled},
		{save, "-A -t 10.0.0.1:http", 1, ErrNames},
		{save, "-A -t 10.0.0.1:80 -p 300 -M 255.0.255.0", 1, ErrBadNetmask},
		{save, "-A", 1, ErrNoService},
		{save, "-A -a -t 10.0.0.1:80", 1, ErrUnexpectedText},
		{save, "*nat\n", 1, ErrUnexpectedText},
		{list, "  -> 10.0.0.1:80 Masq 1 0 0", 1, ErrServerBeforeService},
		{list, "TCP  10.0.0.1:80 rr\n\nTCP  10.0.0.1:80 rr\n", 3, ErrServiceExists},
		{list, "TCP  10.0.0.1:80 rr\n  -> 10.0.0.2:80 Masq 1 0", 2, ErrUnexpectedText},
		{list, "TCP  10.0.0.1:80 rr\n  -> 10.0.0.2:80 Masq x 0 0", 2, ErrBadValue},
		{list, "TCP  kubernetes.default.svc.clus:https rr", 1, ErrNames},
		{list, "chain KUBE-SERVICES", 1, ErrUnexpectedText},
		{proc, "TCP  0A090001:50 rr", 1, ErrBadAddress},
		{proc, "TCP  0A090001:0050 rr  persistent 36001 FFFFFFFF", 1, ErrBadValue},
		{proc, "TCP  0A090001:0050 rr  persistent 36000 FFFF00FF", 1, ErrBadNetmask},
	} {
		err := c.read(c.text)
		var pe *ParseError
		if !errors.As(err, &pe) || !errors.Is(err, c.want) || pe.Line != c.line || pe.File != "f" {
			t.Errorf("%q: %v, want %v in line %d", c.text, err, c.want, c.line)
		}
	}
}

func TestAFailedLoadLeavesNothing(t *testing.T) {
	c, err := ParseSave("", "-A -t 10.0.0.1:80 -s rr\n-A -t 10.0.0.1:80 -s rr\n")
	if err != nil {
		t.Fatal(err)
	}
	tab, err := Load(DefaultSysctls(), c)
	if tab != nil || !errors.Is(err, ErrServiceExists) {
		t.Fatalf("%v, %v", tab, err)
	}
}

func FuzzParseSave(f *testing.F) {
	f.Add("-A -t 10.0.0.1:80 -s sh -p 300 -M 255.255.255.0 -b sh-fallback,sh-port\n") // every option of a service
	f.Add("-a -t 10.0.0.1:80 -r 10.0.0.2 -x 5 -y 2\n")                                // no port, default method, thresholds
	f.Add("-A -f -1 -6 -s wrr -p\n")                                                  // the largest mark, IPv6, -p without a number
	f.Add("-a -t [fd00::1]:80 -r [fd00::2]:80 -i -w 0 --tun-type=ipip\n")             // brackets, = before a value
	f.Add("-A -t [::ffff:10.0.0.1]:80 -s rr\n")                                       // IPv4 in IPv6
	f.Add("-C\n# remark\n\n-D -u 10.0.0.1:53\n-d -u 10.0.0.1:53 -r 10.0.0.2:53")      // commands without options, no line end
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseSave("", text)
		if err != nil {
			return
		}
		for _, x := range c {
			again, err := ParseCommand(x.String())
			if err != nil || again != x {
				t.Fatalf("%q: %+v, read again %+v, %v", x.String(), x, again, err)
			}
		}
		if s := PrintSave(c); PrintSave(must(ParseSave("", s))) != s {
			t.Fatalf("%q is printed differently a second time", s)
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func FuzzParseList(f *testing.F) {
	f.Add("TCP  10.0.0.1:80 rr persistent 300 mask 255.255.255.0 ops\n  -> 10.0.0.2:80 Masq 1 0 0\n") // flags after the scheduler
	f.Add("Prot LocalAddress:Port Conns\nTCP 10.0.0.1:80 1 2 3 4 99999M\n")                           // --stats with a suffix
	f.Add("Prot x CPS\nFWM 7 IPv6 1 2 3 4 5")                                                         // --rate of a mark
	f.Add("TCP 1440:00 ESTABLISHED 10.0.0.1:1 10.0.0.2:2 10.0.0.3:3")                                 // -c of a day
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseList("", text)
		if err != nil {
			return
		}
		for i := range d.Services {
			if d.Services[i].Scheduler == "" {
				return // --stats and --rate do not name it
			}
		}
		tab, err := d.Table(DefaultSysctls())
		if err != nil {
			t.Fatalf("read, but not loaded: %v", err)
		}
		again, err := ParseList("", tab.List(ListServers))
		if err != nil {
			t.Fatal(err)
		}
		if len(again.Services) != len(d.Services) {
			t.Fatalf("%d services became %d", len(d.Services), len(again.Services))
		}
	})
}

func FuzzParseProc(f *testing.F) {
	f.Add("TCP  0A090001:0050 rr  persistent 36000 FFFFFF00\n  -> 0A02000A:0050      Tunnel  1      1          0         \n") // IPv4
	f.Add("FWM  00000008 wrr persistent 6000 40000000\n  -> [fd00::22]:0000 Masq 4 0 0\n")                                    // IPv6 by its mask
	f.Add("FWM  00000008 wrr \n  -> [fd00::22]:0000 Masq 4 0 0\n")                                                            // IPv6 by its server
	f.Add("Pro FromIP   FPrt\nIP  0A090009 0000 00000007 0000 0A020002 0000 NONE             58")                             // entries
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := ParseProcServices("", text, 100); err == nil {
			if _, err := d.Table(DefaultSysctls()); err != nil {
				t.Fatalf("read, but not loaded: %v", err)
			}
		}
		_, _ = ParseProcConns("", text)
	})
}
