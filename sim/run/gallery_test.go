package run

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/svclab/svclab/scenarios"
)

// The stories that the gallery tells; each is a file, and TestShippedScenarios runs it.
var gallery = strings.Fields(`
	two-decimals five-decimals five-decimals-mended keep-alive keep-alive-mended grpc-scale-up grpc-scale-up-mended
	few-connections few-connections-many few-connections-ipvs policy-local policy-local-mended l2-announcer l2-announcer-mended
	zone-hints zone-hints-mended affinity-timeout affinity-per-port affinity-forgotten affinity-forgotten-mended
	hairpin hairpin-mended cluster-cidr-wrong cluster-cidr-mended no-endpoints udp-stuck udp-stuck-mended
	proxy-late proxy-in-time rolling-update rolling-update-mended conntrack-full conntrack-full-mended source-ranges
	masquerade-ports masquerade-ports-mended
	schedulers ipvs-rr-nodes ipvs-rr-restart ipvs-lc-restart ipvs-lc-nodes ipvs-sh ipvs-mh ipvs-sh-weight-0 ipvs-rr-weight-0
	ipvs-reuse-mode-1 ipvs-reuse-mode-1-mended ipvs-reuse-removed ipvs-reuse-removed-mended ipvs-udp-black-hole ipvs-udp-mended
	ipvs-termination ipvs-termination-mended ipvs-wlc-time-wait ipvs-persistence ipvs-persistence-iptables switch-to-ipvs
	ipvs-host-service ipvs-host-service-mended
	ndots-fan-out ndots-fan-out-mended dns-stall dns-stall-mended dns-stall-kernel external-name-address external-name-address-mended
	external-name-port stream-queues stream-queues-mended rolling-update-load rolling-update-load-mended
	invalid-reset invalid-reset-mended invalid-reset-liberal`)

var issueLine = regexp.MustCompile(`^# ([\w.-]+/[\w.-]+#[0-9]+)$`)

// Every story is headed by what one sees and the public issue, and has a check that prints the number that was complained about.
func TestGalleryHeads(t *testing.T) {
	told := map[string]bool{}
	for _, sc := range shippedScenarios(t) {
		told[sc.Metadata.Name] = true
		if sc.Metadata.Issue == "" {
			continue
		}
		text, err := scenarios.Files.ReadFile(sc.File)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.SplitN(string(text), "\n", 3)
		m := issueLine.FindStringSubmatch(lines[1])
		if !strings.HasPrefix(lines[0], "# ") || m == nil || m[1] != sc.Metadata.Issue {
			t.Errorf("%s: its first two lines are not what one sees and %s", sc.File, sc.Metadata.Issue)
		}
		number := slices.IndexFunc(sc.Spec.Checks, func(c scenarioCheck) bool { return c.Name == sc.Metadata.Number })
		if number < 0 || sc.Spec.Checks[number].Threshold == nil {
			t.Errorf("%s: no threshold is called %q", sc.File, sc.Metadata.Number)
		}
		if sc.File != sc.Metadata.Name+".yaml" {
			t.Errorf("%s is called %s", sc.File, sc.Metadata.Name)
		}
	}
	for _, sc := range shippedScenarios(t) {
		if m := sc.Metadata.Mends; m != "" && !told[m] {
			t.Errorf("%s mends %s, which is not there", sc.Metadata.Name, m)
		}
	}
	for _, n := range gallery {
		if !told[n] {
			t.Errorf("the story %s is gone", n)
		}
	}
}
