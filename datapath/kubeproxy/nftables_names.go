package kubeproxy

import (
	"crypto/sha256"
	"encoding/base32"
	"strconv"
	"strings"

	"github.com/svclab/svclab/datapath/service"
)

// nftTable is the table that holds everything of the nftables mode, one in each family.
const nftTable = "kube-proxy"

// Chains, sets and maps that all Services share (pkg/proxy/nftables/proxier.go, v1.37).
const (
	nftServices          = "services"
	nftMasquerading      = "masquerading"
	nftServiceCheck      = "service-endpoints-check"
	nftNodePortCheck     = "nodeport-endpoints-check"
	nftClusterIPCheck    = "cluster-ips-check"
	nftFirewallCheck     = "firewall-check"
	nftReject            = "reject-chain"
	nftServiceIPs        = "service-ips"
	nftServiceNodePorts  = "service-nodeports"
	nftNoEndpoints       = "no-endpoint-services"
	nftNoEndpointsNode   = "no-endpoint-nodeports"
	nftFirewallIPs       = "firewall-ips"
	nftClusterIPs        = "cluster-ips"
	nftNodePortIPs       = "nodeport-ips"
	nftHairpin           = "hairpin-connections"
	nftLocalhostRejected = "localhost-nodeport-reject-ports"
)

// Prefixes of what belongs to one Service port or endpoint.
const (
	nftPrefixCluster  = "service-"  // policy Cluster
	nftPrefixLocal    = "local-"    // policy Local
	nftPrefixExternal = "external-" // traffic to external addresses and node ports
	nftPrefixFirewall = "firewall-" // loadBalancerSourceRanges
	nftPrefixEndpoint = "endpoint-" // of a port with session affinity
	nftPrefixAffinity = "affinity-" // set of the clients of an endpoint
)

// nftNameMax is how long the part of a name after the prefix may be: 256 bytes of nft less 16 for the longest prefix.
const nftNameMax = 240

// nftCommentMax is how long nft lets a comment be, in bytes.
const nftCommentMax = 128

// nftName puts a hash of the name before it, so that names cut for their length, and names alike but for one digit, differ at
// first sight: "PFISGYVC-default/web/tcp/".
func nftName(name string) string {
	h := sha256.Sum256([]byte(name))
	name = base32.StdEncoding.EncodeToString(h[:5]) + "-" + name
	if len(name) > nftNameMax {
		name = name[:nftNameMax-3] + "..."
	}
	return name
}

// NFTNames are the names of the chains of one Service port in nftables mode.
type NFTNames struct{ Cluster, Local, Firewall, External string }

func nftPortBase(p service.PortName) string {
	return p.Namespace + "/" + p.Name.Name + "/" + p.Protocol.String() + "/" + p.Port
}

// NFTNamesOf derives the chain names from namespace, name, protocol and port name.
func NFTNamesOf(p service.PortName) NFTNames {
	base := nftName(nftPortBase(p))
	return NFTNames{nftPrefixCluster + base, nftPrefixLocal + base, nftPrefixFirewall + base, nftPrefixExternal + base}
}

// NFTEndpoint names the chain and the affinity set of an endpoint. Colons of IPv6, which names may not hold, become dots.
func NFTEndpoint(p service.PortName, b *service.Backend) (chain, set string) {
	addr := strings.ReplaceAll(b.Addr.Addr().String(), ":", ".")
	base := nftName(nftPortBase(p) + "__" + addr + "/" + strconv.Itoa(int(b.Addr.Port())))
	return nftPrefixEndpoint + base, nftPrefixAffinity + base
}

// isNFTServiceChain reports whether a chain belongs to a Service port or an endpoint: shared chains have no slash.
func isNFTServiceChain(name string) bool { return strings.Contains(name, "/") }

func isAffinitySet(name string) bool { return strings.HasPrefix(name, nftPrefixAffinity) }

func nftComment(s string) string {
	if len(s) > nftCommentMax {
		s = s[:nftCommentMax]
	}
	return ` comment "` + s + `"`
}
