package run

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/svclab/svclab/sim/box"
)

// Wireshark reads the capture of every scenario of the gallery: nothing on standard error, every packet with its interface and
// comment, no header malformed, checksums right, and no expert information above a note. Notes there are: a packet seen at five
// points is one that was sent again to whoever takes the points for one wire. All scenarios with SVCLAB_FIGURES=1, else some.
func TestTsharkReadsTheGallery(t *testing.T) {
	tshark, err := box.Tool("tshark")
	if m, ok := box.Missing(err); ok {
		t.Skipf("%s: %s; to mend it: sudo apt-get install -y --no-install-recommends tshark", m.What, m.Reason)
	}
	const some = 21
	for i, sc := range shippedScenarios(t) {
		if i%some != 0 && os.Getenv("SVCLAB_FIGURES") != "1" {
			continue
		}
		t.Run(sc.Metadata.Name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "capture.pcapng")
			data := captured(t, sc, 200)
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

// tsharkReads returns how many packets tshark reads without a complaint.
func tsharkReads(t *testing.T, tshark, file string) int {
	t.Helper()
	c := exec.Command(tshark, "-n", "-r", file, "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE",
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
		for _, severity := range strings.Split(f[4], ",") {
			if severity == "6291456" || severity == "8388608" { // PI_WARN, PI_ERROR (epan/proto.h)
				t.Errorf("packet %d: %q", n+1, s.Text())
			}
		}
	}
	return n
}
