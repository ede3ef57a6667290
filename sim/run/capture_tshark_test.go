package run

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/svclab/svclab/sim/box"
)

// Wireshark reads the capture of every scenario of the gallery, out of either world: nothing on standard error, every packet with its
// interface and comment, no header malformed, checksums right, and no expert information above a note but what the story is about. Notes
// there are: a packet seen at five points is one that was sent again to whoever takes the points for one wire. All scenarios with
// SVCLAB_FIGURES=1, else some.
func TestTsharkReadsTheGallery(t *testing.T) {
	tshark, err := box.Tool("tshark")
	if m, ok := box.Missing(err); ok {
		t.Skipf("%s: %s; to mend it: sudo apt-get install -y --no-install-recommends tshark", m.What, m.Reason)
	}
	all := os.Getenv("SVCLAB_FIGURES") == "1"
	some := []string{"no-endpoints", "udp-stuck"}
	for _, world := range Worlds() {
		for _, sc := range shippedScenarios(t) {
			if !all && !slices.Contains(some, sc.Metadata.Name) {
				continue
			}
			t.Run(world+"/"+sc.Metadata.Name, func(t *testing.T) {
				data, err := captured(t, sc, world, 200)
				if err != nil {
					t.Skipf("world %s does not run it: %v", world, err)
				}
				file := filepath.Join(t.TempDir(), "capture.pcapng")
				if err := os.WriteFile(file, data, 0o600); err != nil {
					t.Fatal(err)
				}
				n := tsharkReads(t, tshark, file)
				if want := len(read(t, data)); n != want || n == 0 {
					t.Errorf("tshark reads %d packets of %d", n, want)
				}
			})
		}
	}
}

// ofTheTraffic are warnings about what happens in a story, not about how it is written down: connections are reset, and a server sends
// a segment out of the window.
var ofTheTraffic = []string{"Connection reset (RST)", "Previous segment(s) not captured"}

// tsharkReads returns how many packets tshark reads without a complaint.
func tsharkReads(t *testing.T, tshark, file string) int {
	t.Helper()
	c := exec.Command(tshark, "-n", "-r", file, "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o", "sctp.checksum:CRC-32C",
		"-T", "fields", "-E", "separator=|", "-E", "occurrence=a", "-e", "frame.interface_name", "-e", "frame.comment", "-e", "ip.checksum.status",
		"-e", "_ws.malformed", "-e", "_ws.expert.severity", "-e", "_ws.expert.message")
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	for l := range strings.Lines(errs.String()) {
		if !strings.HasPrefix(l, "Running as user") {
			t.Errorf("tshark says %q", l)
		}
	}
	n := 0
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); n++ {
		f := strings.Split(s.Text(), "|")
		if len(f) < 6 || f[0] == "" || f[1] == "" {
			t.Fatalf("packet %d lacks an interface or a comment: %q", n+1, s.Text())
		}
		if strings.Contains(f[2], "0") || f[3] != "" {
			t.Errorf("packet %d: checksum or header wrong: %q", n+1, s.Text())
		}
		bad := strings.Count(f[4], "6291456") + strings.Count(f[4], "8388608") // PI_WARN, PI_ERROR (epan/proto.h)
		for _, told := range ofTheTraffic {
			bad -= strings.Count(f[5], told)
		}
		if bad > 0 {
			t.Errorf("packet %d: %q", n+1, s.Text())
		}
	}
	return n
}
