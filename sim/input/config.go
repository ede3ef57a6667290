package input

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	proxyv1alpha1 "k8s.io/kube-proxy/config/v1alpha1"

	"github.com/svclab/svclab/datapath/service"
)

// schedulers are the IPVS schedulers of the kernel (net/netfilter/ipvs/ip_vs_*.c).
var schedulers = []string{"rr", "wrr", "lc", "wlc", "fo", "ovf", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq", "twos"}

// proxyConfig is a checked KubeProxyConfiguration: what holds in every mode, and the blocks that hold in one.
type proxyConfig struct {
	common             service.ProxyConfig
	iptables, nftables modeConfig
	badIPVS            error // a fault in the ipvs block, which kube-proxy reads in that mode only
}

type modeConfig struct {
	masqueradeAll bool
	masqueradeBit int
	minSync, sync time.Duration
}

// config checks a configuration as kube-proxy does (pkg/proxy/apis/config/validation) and defaults it
// (pkg/proxy/apis/config/v1alpha1/defaults.go).
func (c *checker) config(k *proxyv1alpha1.KubeProxyConfiguration) (*proxyConfig, error) {
	c.object.Name, c.object.Namespace = "", ""
	x := &proxyConfig{common: service.ProxyConfig{
		HostnameOverride:      strings.ToLower(strings.TrimSpace(k.HostnameOverride)),
		DetectLocalMode:       service.LocalMode(k.DetectLocalMode),
		BridgeInterface:       k.DetectLocal.BridgeInterface,
		InterfacePrefix:       k.DetectLocal.InterfaceNamePrefix,
		NodePortAddresses:     k.NodePortAddresses,
		LocalhostNodePorts:    k.IPTables.LocalhostNodePorts == nil || *k.IPTables.LocalhostNodePorts,
		ConntrackTCPBeLiberal: k.Conntrack.TCPBeLiberal,
		NFTLocalhostNodePorts: gate(k.FeatureGates, "KubeProxyNFTablesLocalhostNodePorts"),
	}}
	for _, f := range []func(*proxyConfig, *proxyv1alpha1.KubeProxyConfiguration) error{
		c.mode, c.bindAddress, c.clusterCIDR, c.detectLocal, c.nodePortAddresses, c.modeBlocks,
	} {
		if err := f(x, k); err != nil {
			return nil, err
		}
	}
	x.badIPVS = c.ipvs(x, k)
	if x.common.Mode == service.ModeIPVS {
		return x, x.badIPVS
	}
	return x, nil
}

// gate reports whether an alpha feature is on. The gates of features that change no rules are not looked at.
func gate(gates map[string]bool, name string) bool {
	if on, said := gates[name]; said {
		return on
	}
	return gates["AllAlpha"]
}

// defaultConfig is what kube-proxy runs with when its configuration says nothing.
func defaultConfig() *proxyConfig {
	c := checker{d: &decoder{file: &file{}, objects: &Objects{}}, object: &Object{}, root: &node{kind: kindMap}}
	x, err := c.config(&proxyv1alpha1.KubeProxyConfiguration{})
	if err != nil {
		panic("the empty KubeProxyConfiguration is refused: " + err.Error())
	}
	return x
}

func (c *checker) mode(x *proxyConfig, k *proxyv1alpha1.KubeProxyConfiguration) error {
	switch m := string(k.Mode); m {
	case "", "iptables", "ipvs", "nftables":
		x.common.Mode = service.Mode(m)
		return nil
	case "kernelspace":
		return c.fault([]any{"mode"}, "kernelspace is a mode of Windows nodes")
	case "userspace":
		return c.fault([]any{"mode"}, "userspace is a mode of old: Kubernetes 1.26 removed it")
	default:
		return c.oneOf(m, []string{"iptables", "ipvs", "nftables"}, "mode")
	}
}

func (c *checker) bindAddress(x *proxyConfig, k *proxyv1alpha1.KubeProxyConfiguration) error {
	x.common.BindAddress = netip.IPv4Unspecified()
	if k.BindAddress == "" {
		return nil
	}
	var err error
	x.common.BindAddress, err = c.addr(k.BindAddress, "bindAddress")
	return err
}

func (c *checker) clusterCIDR(x *proxyConfig, k *proxyv1alpha1.KubeProxyConfiguration) error {
	if k.ClusterCIDR == "" {
		return nil
	}
	parts := strings.Split(k.ClusterCIDR, ",")
	if len(parts) > 2 {
		return c.fault([]any{"clusterCIDR"}, "%s names %d ranges: one, or one of each family", quote(k.ClusterCIDR), len(parts))
	}
	for _, text := range parts {
		p, err := c.prefix(text, "clusterCIDR")
		if err != nil {
			return err
		}
		x.common.ClusterCIDRs = append(x.common.ClusterCIDRs, p)
	}
	if p := x.common.ClusterCIDRs; len(p) == 2 && p[0].Addr().Is4() == p[1].Addr().Is4() {
		return c.fault([]any{"clusterCIDR"}, "%s names two ranges of one family", quote(k.ClusterCIDR))
	}
	return nil
}

func (c *checker) detectLocal(x *proxyConfig, k *proxyv1alpha1.KubeProxyConfiguration) error {
	switch x.common.DetectLocalMode {
	case "":
		x.common.DetectLocalMode = service.LocalClusterCIDR
	case service.LocalClusterCIDR, service.LocalNodeCIDR:
	case service.LocalBridgeInterface:
		if k.DetectLocal.BridgeInterface == "" {
			return c.fault([]any{"detectLocal", "bridgeInterface"}, "detectLocalMode BridgeInterface needs the name of the bridge")
		}
	case service.LocalInterfaceNamePrefix:
		if k.DetectLocal.InterfaceNamePrefix == "" {
			return c.fault([]any{"detectLocal", "interfaceNamePrefix"}, "detectLocalMode InterfaceNamePrefix needs the prefix")
		}
	default:
		return c.oneOf(string(k.DetectLocalMode), []string{"ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix"}, "detectLocalMode")
	}
	return nil
}

func (c *checker) nodePortAddresses(_ *proxyConfig, k *proxyv1alpha1.KubeProxyConfiguration) error {
	for i, text := range k.NodePortAddresses {
		switch text {
		case "primary", "localhost", "all":
			if slices.Contains(k.NodePortAddresses[:i], text) {
				return c.fault([]any{"nodePortAddresses", i}, "%q stands here twice", text)
			}
			continue
		}
		if _, err := c.prefix(text, "nodePortAddresses", i); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) modeBlocks(x *proxyConfig, k *proxyv1alpha1.KubeProxyConfiguration) error {
	ipt, nft := k.IPTables, k.NFTables
	var err error
	x.iptables, err = c.modeBlock("iptables", ipt.MasqueradeAll, ipt.MasqueradeBit, ipt.MinSyncPeriod.Duration, ipt.SyncPeriod.Duration)
	if err != nil {
		return err
	}
	x.nftables, err = c.modeBlock("nftables", nft.MasqueradeAll, nft.MasqueradeBit, nft.MinSyncPeriod.Duration, nft.SyncPeriod.Duration)
	return err
}

func (c *checker) modeBlock(name string, all bool, bit *int32, minSync, sync time.Duration) (modeConfig, error) {
	m := modeConfig{masqueradeAll: all, masqueradeBit: 14, minSync: minSync, sync: sync}
	if bit != nil {
		if *bit < 0 || *bit > 31 {
			return m, c.fault([]any{name, "masqueradeBit"}, "%d is not between 0 and 31", *bit)
		}
		m.masqueradeBit = int(*bit)
	}
	if m.minSync == 0 {
		m.minSync = time.Second
	}
	if m.sync == 0 {
		m.sync = 30 * time.Second
	}
	return m, c.periods(name, m.minSync, m.sync)
}

func (c *checker) periods(name string, minSync, sync time.Duration) error {
	switch {
	case sync < 0:
		return c.fault([]any{name, "syncPeriod"}, "%v is not more than 0", sync)
	case minSync < 0:
		return c.fault([]any{name, "minSyncPeriod"}, "%v is less than 0", minSync)
	case minSync > sync:
		return c.fault([]any{name, "syncPeriod"}, "%v is less than minSyncPeriod %v", sync, minSync)
	}
	return nil
}

func (c *checker) ipvs(x *proxyConfig, k *proxyv1alpha1.KubeProxyConfiguration) error {
	v := k.IPVS
	y := service.IPVSConfig{
		Scheduler: v.Scheduler, StrictARP: v.StrictARP,
		TCPTimeout: v.TCPTimeout.Duration, TCPFinTimeout: v.TCPFinTimeout.Duration, UDPTimeout: v.UDPTimeout.Duration,
		MinSyncPeriod: v.MinSyncPeriod.Duration, SyncPeriod: v.SyncPeriod.Duration,
	}
	if y.Scheduler == "" {
		y.Scheduler = "rr"
	}
	if y.SyncPeriod == 0 {
		y.SyncPeriod = 30 * time.Second
	}
	x.common.IPVS = y
	if !slices.Contains(schedulers, y.Scheduler) {
		return c.oneOf(y.Scheduler, schedulers, "ipvs", "scheduler")
	}
	for _, t := range []struct {
		name string
		d    time.Duration
	}{{"tcpTimeout", y.TCPTimeout}, {"tcpFinTimeout", y.TCPFinTimeout}, {"udpTimeout", y.UDPTimeout}} {
		if t.d < 0 {
			return c.fault([]any{"ipvs", t.name}, "%v is less than 0", t.d)
		}
	}
	if err := c.periods("ipvs", y.MinSyncPeriod, y.SyncPeriod); err != nil {
		return err
	}
	var err error
	x.common.IPVS.ExcludeCIDRs, err = prefixesOf(c, v.ExcludeCIDRs, "ipvs", "excludeCIDRs")
	return err
}

// in gives the configuration that holds in a mode: nftables mode reads its own block, the others that of iptables
// (cmd/kube-proxy/app/server_linux.go, createProxier).
func (x *proxyConfig) in(mode service.Mode) (service.ProxyConfig, error) {
	c := x.common
	m := x.iptables
	switch mode {
	case service.ModeNFTables:
		m = x.nftables
	case service.ModeIPVS:
		if x.badIPVS != nil {
			return c, x.badIPVS
		}
		m.minSync, m.sync = c.IPVS.MinSyncPeriod, c.IPVS.SyncPeriod
	}
	c.MasqueradeAll, c.MasqueradeBit = m.masqueradeAll, m.masqueradeBit
	c.MinSyncPeriod, c.SyncPeriod = m.minSync, m.sync
	return c, nil
}
