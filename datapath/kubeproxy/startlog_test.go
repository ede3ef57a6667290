package kubeproxy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/svclab/svclab/datapath/kubeproxy"
	"github.com/svclab/svclab/datapath/service"
)

// The lines that tell the mode. Expectations: cmd/kube-proxy/app/server_linux.go, v1.37.
func TestStartLog(t *testing.T) {
	s := node()
	for mode, want := range map[service.Mode][]string{
		"":                   {"Successfully retrieved", "kube-proxy running in dual-stack", "ERROR No kube-proxy mode specified", "Using iptables Proxier"},
		service.ModeIPTables: {"Successfully retrieved", "kube-proxy running in dual-stack", "Using iptables Proxier"},
		service.ModeIPVS: {"Successfully retrieved", "kube-proxy running in dual-stack", "Using ipvs Proxier", "ERROR The ipvs proxier has been deprecated",
			"IPVS scheduler not specified, use rr by default ipFamily=IPv4", "IPVS scheduler not specified, use rr by default ipFamily=IPv6"},
		service.ModeNFTables: {"Successfully retrieved", "kube-proxy running in dual-stack", "Using nftables Proxier"},
	} {
		got := kubeproxy.StartLog(&s, mode)
		if !slices.EqualFunc(got, want, strings.HasPrefix) {
			t.Errorf("%q:\n%s", mode, strings.Join(got, "\n"))
		}
	}
	s.Config.IPVS.Scheduler = "sh"
	if got := kubeproxy.StartLog(&s, service.ModeIPVS); strings.Contains(strings.Join(got, "\n"), "scheduler not specified") {
		t.Error(got)
	}
}
