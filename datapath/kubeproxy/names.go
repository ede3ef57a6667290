package kubeproxy

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"github.com/svclab/svclab/datapath/service"
)

// Chains of the iptables mode (pkg/proxy/iptables/proxier.go, v1.37).
const (
	chainServices         = "KUBE-SERVICES"
	chainExternalServices = "KUBE-EXTERNAL-SERVICES"
	chainNodePorts        = "KUBE-NODEPORTS"
	chainPostrouting      = "KUBE-POSTROUTING"
	chainMarkMasq         = "KUBE-MARK-MASQ"
	chainForward          = "KUBE-FORWARD"
	chainProxyFirewall    = "KUBE-PROXY-FIREWALL"
	chainCanary           = "KUBE-PROXY-CANARY"
	chainFirewall         = "KUBE-FIREWALL" // the kubelet's; kube-proxy makes the same one and never deletes it
)

// Prefixes of the chains that belong to one Service port or endpoint.
const (
	prefixCluster  = "KUBE-SVC-" // policy Cluster
	prefixLocal    = "KUBE-SVL-" // policy Local
	prefixFirewall = "KUBE-FW-"  // loadBalancerSourceRanges
	prefixExternal = "KUBE-EXT-" // traffic to external addresses and node ports
	prefixEndpoint = "KUBE-SEP-"
)

// hash16 is the part of a chain name that tells Services apart: 80 bits of SHA-256 in base 32, since a chain name holds
// at most 28 characters.
func hash16(s string) string {
	h := sha256.Sum256([]byte(s))
	return base32.StdEncoding.EncodeToString(h[:10])
}

// ChainNames are the names of the chains of one Service port.
type ChainNames struct{ Cluster, Local, Firewall, External string }

// NamesOf derives the chain names from "namespace/name:port" and the protocol in lower case.
func NamesOf(p service.PortName) ChainNames {
	h := hash16(p.String() + p.Protocol.String())
	return ChainNames{prefixCluster + h, prefixLocal + h, prefixFirewall + h, prefixExternal + h}
}

// EndpointChain is the name of the chain that sends a Service port's traffic to the endpoint "address:port".
func EndpointChain(p service.PortName, endpoint string) string {
	return prefixEndpoint + hash16(p.String()+p.Protocol.String()+endpoint)
}

// isServiceChain reports whether a chain is one that kube-proxy makes for a Service port or an endpoint, and deletes
// when nothing needs it any more.
func isServiceChain(name string) bool {
	for _, p := range [...]string{prefixCluster, prefixLocal, prefixEndpoint, prefixFirewall, prefixExternal} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}
