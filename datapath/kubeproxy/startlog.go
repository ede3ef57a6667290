package kubeproxy

import (
	"strings"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

// The lines by which kube-proxy tells about a mode's future (cmd/kube-proxy/app/server_linux.go, v1.37); each is also an
// event of type Warning.
const (
	logNoMode = "No kube-proxy mode specified: defaulting to 'iptables'. Note that in Kubernetes 1.40 the default mode will switch to " +
		"'nftables'. If you wish to continue using 'iptables' mode, you must explicitly specify 'mode: iptables' in the kube-proxy config " +
		"file, or '--proxy-mode iptables' on the kube-proxy command line."
	logIPVSDeprecated = "The ipvs proxier has been deprecated and will be disabled by default in Kubernetes 1.40 and removed in Kubernetes " +
		"1.43. Migrate to the 'nftables' proxier instead."
)

// IPVSDeprecation says in one line what becomes of the ipvs mode.
const IPVSDeprecation = "kube-proxy's ipvs mode is deprecated: it warns since Kubernetes 1.35, is off by default in 1.40 and gone in 1.43"

// StartLog is what the log of a starting kube-proxy tells about its mode, in order: the message and "key=value", without
// klog's head; lines of level error begin with ERROR. configured is the mode as the configuration has it, "" for none. Both
// families run, as on any node whose kernel has IPv6; the primary one is that of the node's first address.
func StartLog(s *service.State, configured service.Mode) []string {
	primary := packet.IPv4
	if len(s.Node.InternalIPs) > 0 {
		primary = packet.FamilyOf(s.Node.InternalIPs[0])
	}
	var out []string
	if len(s.Node.InternalIPs) > 0 {
		list := make([]string, len(s.Node.InternalIPs))
		for i, a := range s.Node.InternalIPs {
			list[i] = `"` + a.String() + `"`
		}
		out = append(out, "Successfully retrieved NodeIPs NodeIPs=["+strings.Join(list, ",")+"]")
	}
	out = append(out, "kube-proxy running in dual-stack mode primary ipFamily="+logFamily(primary))
	mode := configured
	if mode == "" {
		mode = service.ModeIPTables
		out = append(out, "ERROR "+logNoMode)
	}
	out = append(out, "Using "+string(mode)+" Proxier")
	if mode == service.ModeIPVS {
		out = append(out, "ERROR "+logIPVSDeprecated)
		if s.Config.IPVS.Scheduler == "" {
			for _, f := range [...]packet.Family{packet.IPv4, packet.IPv6} {
				out = append(out, "IPVS scheduler not specified, use rr by default ipFamily="+logFamily(f))
			}
		}
	}
	return out
}

// logFamily spells a family as kube-proxy's log does.
func logFamily(f packet.Family) string {
	if f == packet.IPv6 {
		return "IPv6"
	}
	return "IPv4"
}
