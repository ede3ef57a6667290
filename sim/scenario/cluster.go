package scenario

// Cluster is a cluster made from a few numbers. Nodes are called node-1, node-2 and so on, have the addresses 192.168.0.1,
// 192.168.0.2 and so on and the Pod CIDRs 10.244.1.0/24, 10.244.2.0/24 and so on.
type Cluster struct {
	At          Pos           `yaml:"-"`
	Nodes       int           `yaml:"nodes,required" doc:"number of nodes, at most 250"`
	Zones       int           `yaml:"zones" doc:"zones that nodes are in by turns: zone-1, zone-2 and so on"`
	ClusterCIDR Prefix        `yaml:"clusterCIDR" doc:"kube-proxy's clusterCIDR; 10.244.0.0/16 when absent"`
	Config      Object        `yaml:"config" doc:"a KubeProxyConfiguration; clusterCIDR is not added to it"`
	DNS         int           `yaml:"dns" doc:"Pods of CoreDNS behind the Service kube-system/kube-dns, 10.96.0.10, on the nodes by turns; none when absent"`
	Services    []MadeService `yaml:"services,required" doc:"its Services"`
}

// MadeService is one Service of such a cluster, with endpoints spread over the nodes by turns. The n-th Service has the cluster
// IP 10.96.0.n (with more than 250, 10.96.1.n and so on); with CoreDNS, those from the tenth on have the one after.
type MadeService struct {
	At             Pos      `yaml:"-"`
	Name           string   `yaml:"name,required" doc:"name of the Service"`
	Namespace      string   `yaml:"namespace" doc:"its namespace; default when absent"`
	Headless       bool     `yaml:"headless" doc:"it has no cluster IP: its name stands for its endpoints"`
	ExternalName   string   `yaml:"externalName" doc:"its name stands for this name; it has no cluster IP and no endpoints"`
	Count          int      `yaml:"count" doc:"this many of them, with -1, -2 and so on after the name; one when absent"`
	Type           string   `yaml:"type" enum:"ClusterIP,NodePort,LoadBalancer" doc:"type of the Service; ClusterIP when absent"`
	Protocol       string   `yaml:"protocol" enum:"tcp,udp,sctp" doc:"protocol of its port; tcp when absent"`
	Port           int      `yaml:"port" doc:"its port; 80 when absent"`
	Ports          int      `yaml:"ports" doc:"this many ports, from port on; one when absent"`
	TargetPort     int      `yaml:"targetPort" doc:"port of its endpoints; 8080 when absent, and those that follow for more ports"`
	NodePort       int      `yaml:"nodePort" doc:"its node port; none when absent"`
	LoadBalancerIP Addr     `yaml:"loadBalancerIP" doc:"address of its load balancer"`
	SourceRanges   []Prefix `yaml:"sourceRanges" doc:"loadBalancerSourceRanges"`
	ExternalPolicy string   `yaml:"externalTrafficPolicy" enum:"Cluster,Local" doc:"externalTrafficPolicy; Cluster when absent"`
	InternalPolicy string   `yaml:"internalTrafficPolicy" enum:"Cluster,Local" doc:"internalTrafficPolicy; Cluster when absent"`
	Affinity       Duration `yaml:"affinity" doc:"sessionAffinity ClientIP with this timeout; none when absent"`
	Endpoints      int      `yaml:"endpoints" doc:"number of endpoints; none when absent"`
	On             []string `yaml:"on" doc:"nodes that the endpoints are on by turns, one named as often as it is to have endpoints; every node when absent"`
	Hints          bool     `yaml:"hints" doc:"every endpoint carries the hint of its own zone"`
	HostNetwork    bool     `yaml:"hostNetwork" doc:"endpoints have the addresses of their nodes"`
}
