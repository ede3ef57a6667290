// Package service holds what Kubernetes asks for: Services, their endpoints, the node, and kube-proxy's configuration, as
// plain values after the API server's and kube-proxy's defaulting, and decides which endpoints of a Service port are
// usable. It knows no proxy mode and writes no rules.
package service

import (
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// State is everything kube-proxy on one node knows at one moment. Its slices are in the order of input; consumers sort.
type State struct {
	Config       ProxyConfig
	Node         Node
	Services     []Service
	Slices       []EndpointSlice
	ServiceCIDRs []netip.Prefix // of ServiceCIDR objects
}

// Name is a namespaced name.
type Name struct{ Namespace, Name string }

func (n Name) String() string { return n.Namespace + "/" + n.Name }

// PortName names one port of a Service: the unit that rules are made for.
type PortName struct {
	Name
	Port     string // the port's name, "" for an unnamed single port
	Protocol packet.Protocol
}

// String is "ns/name:port", or "ns/name" for an unnamed port, as kube-proxy's rule comments spell it.
func (n PortName) String() string {
	if n.Port == "" {
		return n.Name.String()
	}
	return n.Name.String() + ":" + n.Port
}

// Type is a Service type.
type Type string

// The Service types.
const (
	ClusterIP    Type = "ClusterIP"
	NodePort     Type = "NodePort"
	LoadBalancer Type = "LoadBalancer"
	ExternalName Type = "ExternalName"
)

// TrafficPolicy says which endpoints traffic may reach.
type TrafficPolicy string

// The traffic policies.
const (
	PolicyCluster TrafficPolicy = "Cluster"
	PolicyLocal   TrafficPolicy = "Local"
)

// Service is a v1 Service after defaulting.
type Service struct {
	Name
	Labels, Annotations      map[string]string
	Type                     Type
	ClusterIPs               []netip.Addr // empty for headless and ExternalName Services
	Headless                 bool
	ExternalName             string
	Ports                    []ServicePort
	ExternalIPs              []netip.Addr
	LoadBalancerIngress      []Ingress
	LoadBalancerSourceRanges []netip.Prefix
	ExternalPolicy           TrafficPolicy
	InternalPolicy           TrafficPolicy
	AffinityTimeout          time.Duration // of sessionAffinity ClientIP; 0 without affinity
	HealthCheckNodePort      uint16        // 0 without
	AllocateNodePorts        bool          // allocateLoadBalancerNodePorts
	PublishNotReady          bool
	TrafficDistribution      string // PreferClose, PreferSameZone, PreferSameNode, or ""
	Selector                 map[string]string
	IPFamilies               []packet.Family
}

// ServicePort is one port of a Service.
type ServicePort struct {
	Name       string
	Protocol   packet.Protocol
	Port       uint16
	NodePort   uint16 // 0 without
	TargetPort string // a number or a name, as written
}

// Ingress is one address of a load balancer's status.
type Ingress struct {
	IP       netip.Addr
	Hostname string
	Proxy    bool // ipMode Proxy: the balancer rewrites, so the node must not take the address for its own
}

// EndpointSlice is a discovery.k8s.io/v1 EndpointSlice.
type EndpointSlice struct {
	Name
	Service   Name // of the label kubernetes.io/service-name
	Labels    map[string]string
	Family    packet.Family
	Ports     []EndpointPort
	Endpoints []Endpoint
}

// EndpointPort is one port of a slice. Port is 0 when the slice gives none.
type EndpointPort struct {
	Name     string
	Protocol packet.Protocol
	Port     uint16
}

// Endpoint is one endpoint of a slice. Conditions are defaulted as kube-proxy does: ready and serving each unless said
// otherwise, terminating only if said.
type Endpoint struct {
	Addresses                   []netip.Addr
	Ready, Serving, Terminating bool
	NodeName                    string
	Zone                        string
	Hostname                    string
	ZoneHints, NodeHints        []string
	TargetRef                   string // "Pod/ns/name" when known
}

// Node is a v1 Node, the one kube-proxy runs on.
type Node struct {
	Name        string
	Labels      map[string]string
	InternalIPs []netip.Addr
	ExternalIPs []netip.Addr
	PodCIDRs    []netip.Prefix
	StandIn     bool // no Node was given: a node without addresses and Pod CIDR
}

// Mode is a kube-proxy mode. The zero value means none was asked for.
type Mode string

// The modes on Linux.
const (
	ModeIPTables Mode = "iptables"
	ModeIPVS     Mode = "ipvs"
	ModeNFTables Mode = "nftables"
)

// LocalMode is how kube-proxy tells traffic of Pods on this node from other traffic.
type LocalMode string

// The values of detectLocalMode.
const (
	LocalClusterCIDR         LocalMode = "ClusterCIDR"
	LocalNodeCIDR            LocalMode = "NodeCIDR"
	LocalBridgeInterface     LocalMode = "BridgeInterface"
	LocalInterfaceNamePrefix LocalMode = "InterfaceNamePrefix"
)

// ProxyConfig is a KubeProxyConfiguration after defaulting: what decides about rules.
type ProxyConfig struct {
	Mode                      Mode // "" when not set: iptables is what kube-proxy then takes
	HostnameOverride          string
	ClusterCIDRs              []netip.Prefix
	DetectLocalMode           LocalMode // "" means ClusterCIDR
	BridgeInterface           string
	InterfacePrefix           string
	NodePortAddresses         []string // CIDRs, "primary", "localhost", "all"; empty means all (nftables: primary)
	BindAddress               netip.Addr
	MasqueradeAll             bool
	MasqueradeBit             int  // of iptables.masqueradeBit, 14 by default
	LocalhostNodePorts        bool // true by default
	MinSyncPeriod, SyncPeriod time.Duration
	ConntrackTCPBeLiberal     bool
	NFAcct                    bool // the kernel offers nfacct counters
	NFTLocalhostNodePorts     bool // feature gate KubeProxyNFTablesLocalhostNodePorts (alpha, off)
	IPVS                      IPVSConfig
}

// IPVSConfig is the ipvs block of a KubeProxyConfiguration.
type IPVSConfig struct {
	Scheduler                             string
	ExcludeCIDRs                          []netip.Prefix
	StrictARP                             bool
	TCPTimeout, TCPFinTimeout, UDPTimeout time.Duration
	MinSyncPeriod, SyncPeriod             time.Duration
}
