package run

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/scenarios"
	"github.com/svclab/svclab/sim/input"
	"github.com/svclab/svclab/sim/replay"
	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/scenario"
	"github.com/svclab/svclab/sim/wire"
)

// captured runs a scenario until its capture is full; the error is that of a world that does not run it.
func captured(t *testing.T, sc *scenario.Scenario, world string, packets int64) ([]byte, error) {
	t.Helper()
	var out bytes.Buffer
	c, err := NewCapture(&out, CaptureOptions{About: sc.Metadata.Name, Packets: packets})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	_, err = Scenario(ctx, sc, scenarios.Files, ScenarioOptions{World: world, Capture: c, Progress: func(int64, int64) {
		if c.Packets() >= packets {
			stop()
		}
	}})
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	if c.Err() != nil {
		t.Fatal(c.Err())
	}
	return out.Bytes(), err
}

func mustCapture(t *testing.T, name string, packets int64) []byte {
	t.Helper()
	file, err := captured(t, shipped(t, name), "replay", packets)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// shipped is a scenario of the gallery.
func shipped(t *testing.T, name string) *scenario.Scenario {
	t.Helper()
	for _, sc := range shippedScenarios(t) {
		if sc.Metadata.Name == name {
			return sc
		}
	}
	t.Fatalf("no scenario %s", name)
	return nil
}

type sighting struct {
	point   string
	view    packet.Packet
	comment string
	id      uint64
}

func read(t *testing.T, file []byte) (out []sighting) {
	t.Helper()
	r, err := wire.NewReader("capture", bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	var d wire.Decoder
	for {
		rec, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		p, err := d.Decode(rec.Link, rec.Data)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, sighting{rec.Name, p, rec.Comment, rec.ID})
	}
	if r.Cut() != nil {
		t.Fatal(r.Cut())
	}
	return out
}

// The first packet of the nginx scenario at every point it passes. The addresses are those of its manifests; which hooks a forwarded
// packet meets is drawn in package netfilter; DNAT shows behind PREROUTING (net/netfilter/nf_nat_core.c).
func TestCapturePoints(t *testing.T) {
	file := mustCapture(t, "nginx", 50)
	all := read(t, file)
	first := slices.IndexFunc(all, func(s sighting) bool { return s.id != all[0].id })
	var points []string
	vip := netip.MustParseAddrPort("10.102.19.139:80")
	for _, s := range all[:first] {
		points = append(points, s.point)
		hook := strings.TrimPrefix(s.point, "worker-1 ")
		if before := hook == "PREROUTING" || len(points) == 1; before != (s.view.Dst == vip) {
			t.Errorf("at %s it goes to %s", s.point, s.view.Dst)
		}
		if s.view.TCPFlags != packet.SYN || s.view.LengthBytes != 60 {
			t.Errorf("at %s: %+v", s.point, s.view)
		}
		if s.comment == "" {
			t.Errorf("at %s: no comment", s.point)
		}
	}
	if len(points) != 5 || points[1] != "worker-1 PREROUTING" || points[2] != "worker-1 FORWARD" || points[3] != "worker-1 POSTROUTING" {
		t.Fatalf("points %q", points)
	}
	dnat := all[1].comment
	for _, want := range []string{"accept; conntrack NEW; nat KUBE-SEP-", "-j DNAT --to-destination 10.244.", "KUBE-SVC-2CMXP7HKUVJN7L6M", "translated: destination to 10.244."} {
		if !strings.Contains(dnat, want) {
			t.Errorf("comment %q says nothing of %q", dnat, want)
		}
	}
	if again := mustCapture(t, "nginx", 50); !bytes.Equal(again, file) {
		t.Error("the same seed made other bytes")
	}
}

// A rejected packet is in the capture with its verdict, and so is the answer, which quotes it.
func TestCaptureOfRejects(t *testing.T) {
	all := read(t, mustCapture(t, "no-endpoints", 20))
	i := slices.IndexFunc(all, func(s sighting) bool { return strings.HasPrefix(s.comment, "reject with ") })
	if i < 0 || i+1 >= len(all) {
		t.Fatalf("no packet is rejected among %d", len(all))
	}
	if !strings.Contains(all[i].comment, "-j REJECT") {
		t.Errorf("comment %q", all[i].comment)
	}
	answer := all[i+1].view
	if !answer.IsICMPError() || answer.Quoted.Dst != all[i].view.Dst || answer.Dst.Addr() != all[i].view.Src.Addr() {
		t.Errorf("the answer is %+v", answer)
	}
}

// What a client's capture shows is walked with the endpoint that the model picks: its packets are translated, the answers that it
// saw come back from the address that it asked.
func TestWalkCapture(t *testing.T) {
	client, vip := netip.MustParseAddrPort("10.244.36.66:40001"), netip.MustParseAddrPort("10.102.19.139:80")
	var file bytes.Buffer
	w, err := wire.NewWriter(&file, wire.Section{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.AddInterface(wire.Interface{Name: "veth0", Link: wire.Raw}); err != nil {
		t.Fatal(err)
	}
	for i, p := range []packet.Packet{
		replay.FirstPacket(packet.TCP, client, vip), replay.AnswerPacket(packet.TCP, vip, client), replay.LaterPacket(packet.TCP, client, vip),
	} {
		b, err := (&wire.Encoder{}).Append(nil, &p, wire.Unseen{})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Packet(time.Duration(1e18+1e6*i), 0, b, ""); err != nil {
			t.Fatal(err)
		}
	}
	file.Write([]byte{6, 0, 0, 0}) // and cut off
	s := nginx(t)
	var got []report.Passed
	var hooks bytes.Buffer
	c, err := NewCapture(&hooks, CaptureOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Walk(CaptureRequest{Name: "client", File: &file, Seed: 1, Capture: c, Each: func(p *report.Passed) error { got = append(got, *p); return nil }})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || r.Walked != 3 || !strings.Contains(r.Cut, "after 3 packets") {
		t.Fatalf("%d packets, %+v", len(got), r)
	}
	if got[0].Verdict != "forward" || got[0].Rewritten.Dst == vip.String() || got[2].Rewritten.Dst != got[0].Rewritten.Dst {
		t.Errorf("requests went to %s and %s", got[0].Rewritten.Dst, got[2].Rewritten.Dst)
	}
	if a := got[1]; a.Rewritten.Src != vip.String() || a.Rewritten.Dst != client.String() || !strings.HasSuffix(a.What, " from "+got[0].Rewritten.Dst) || a.At != "0.001000" {
		t.Errorf("the answer: %+v", a)
	}
	if got[0].Conntrack != "NEW" || got[1].Conntrack != "ESTABLISHED" || got[2].Conntrack != "ESTABLISHED" {
		t.Errorf("conntrack calls them %s, %s, %s", got[0].Conntrack, got[1].Conntrack, got[2].Conntrack)
	}
	if n := len(read(t, hooks.Bytes())); n != 15 {
		t.Errorf("%d records of 3 packets at 5 points", n)
	}
}

// A capture of the interface any shows what a node forwards twice, what it tells itself twice, and what was for others.
func TestWalkCaptureOfAny(t *testing.T) {
	client, node := netip.MustParseAddrPort("203.0.113.7:40001"), netip.MustParseAddrPort("192.168.10.11:30601")
	var file bytes.Buffer
	w, err := wire.NewWriter(&file, wire.Section{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.AddInterface(wire.Interface{Name: "any", Link: wire.LinuxSLL}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		kind     byte
		src, dst netip.AddrPort
	}{
		{0, client, node}, // to this host
		{4, netip.MustParseAddrPort("192.168.10.11:9"), netip.MustParseAddrPort("10.244.169.147:80")}, // as it left, masqueraded
		{4, client, netip.MustParseAddrPort("10.244.169.147:80")},                                     // as it left, not masqueraded
		{3, client, netip.MustParseAddrPort("192.168.10.99:80")},                                      // for another host
		{0, node, node}, // as it came back by lo
	} {
		p := replay.FirstPacket(packet.TCP, c.src, c.dst)
		frame := []byte{0, c.kind, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0}
		b, err := (&wire.Encoder{}).Append(frame, &p, wire.Unseen{})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Packet(0, 0, b, ""); err != nil {
			t.Fatal(err)
		}
	}
	var walked []int
	r, err := nginx(t).Walk(CaptureRequest{Name: "any", File: &file, Seed: 1, Each: func(p *report.Passed) error { walked = append(walked, p.Packet); return nil }})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(walked, []int{1}) {
		t.Errorf("walked %v", walked)
	}
	var skipped []string
	for _, s := range r.Skipped {
		skipped = append(skipped, s.Why)
	}
	if want := []string{
		"captured as it left the node, which had been given it before", "for another host: the kernel drops it before any hook",
		"captured as it came back to the node that had sent it",
	}; !slices.Equal(skipped, want) {
		t.Errorf("skipped %q", skipped)
	}
}

func nginx(t testing.TB) *Subject {
	t.Helper()
	text, err := scenarios.Files.ReadFile("nginx-manifests.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Load([]input.Source{{Name: "nginx-manifests.yaml", Data: text}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
