// Package scenario reads scenarios: what a cluster is made of, what traffic meets it, what happens meanwhile, and what
// must hold. It knows the form only; sim/run gives it meaning.
//
// Reading is strict. An unknown or repeated field, a value of the wrong kind or unit, and the traps of YAML 1.1 are errors
// that show file, line, column and the line itself, and name the nearest valid spelling.
package scenario

// APIVersion and Kind head every scenario.
const (
	APIVersion = "svclab/v1alpha1"
	Kind       = "Scenario"
)

// Scenario is one file.
type Scenario struct {
	APIVersion string   `yaml:"apiVersion,required" doc:"svclab/v1alpha1"`
	Kind       string   `yaml:"kind,required" doc:"Scenario"`
	Metadata   Metadata `yaml:"metadata,required" doc:"what the scenario is called"`
	Spec       Spec     `yaml:"spec,required" doc:"what is there, what happens, and what must hold"`

	File  string   `yaml:"-"` // where it was read from, as errors and reports name it
	lines []string // for errors that show one
}

// Metadata names a scenario.
type Metadata struct {
	Name        string `yaml:"name,required" doc:"name of the scenario, as reports print it"`
	Description string `yaml:"description" doc:"what one sees, in a sentence"`
	Issue       string `yaml:"issue" doc:"the public issue that tells the story, as owner/repo#N"`
	Number      string `yaml:"number" doc:"the one number that the issue complained about, as the check that prints it is called"`
	Mends       string `yaml:"mends" doc:"name of the scenario whose trouble this one mends"`
	Release     string `yaml:"release" doc:"the Kubernetes release that mended it"`
	World       string `yaml:"world" enum:"replay,netstack" doc:"the world it is run in when none is asked for; replay when absent"`
	Verdict     string `yaml:"verdict" enum:"PASS,FAIL,INCONCLUSIVE" doc:"what the scenario is there to show; PASS when absent"`
}

// Spec is a scenario's content.
type Spec struct {
	Seed      uint64    `yaml:"seed" doc:"the number from which all chance of the run comes; 1 when absent"`
	Mode      string    `yaml:"mode" enum:"iptables,ipvs,nftables" doc:"kube-proxy's mode, before that of a KubeProxyConfiguration"`
	Profile   string    `yaml:"profile" doc:"kernel profile of the nodes"`
	Manifests []Text    `yaml:"manifests" doc:"files of Kubernetes objects or dumps, beside the scenario"`
	Objects   []Object  `yaml:"objects" doc:"Kubernetes objects, inline"`
	Node      string    `yaml:"node" doc:"name of the node that is modelled, when the objects hold several"`
	AllNodes  bool      `yaml:"allNodes" doc:"every Node of the objects is modelled, each with a datapath of its own"`
	Cluster   *Cluster  `yaml:"cluster" doc:"a cluster made up from a few numbers, in place of manifests or beside them; all its nodes are modelled"`
	Nodes     []Node    `yaml:"nodes" doc:"nodes that load a dump in place of what kube-proxy would program"`
	HostPorts []int     `yaml:"hostPorts" doc:"TCP and UDP ports on which every node itself listens"`
	Kernel    *Kernel   `yaml:"kernel" doc:"kernel settings of the nodes, beside the profile's"`
	Proxy     *Proxy    `yaml:"proxy" doc:"how kube-proxy is told and syncs; at once, and everything it knows today, when absent"`
	Links     *Links    `yaml:"links" doc:"wires between hosts and nodes: delay, loss, bandwidth; in the netstack world"`
	Servers   []Server  `yaml:"servers" doc:"how long endpoints take to answer; in the netstack world"`
	Names     *Names    `yaml:"names" doc:"names beyond the cluster"`
	Traffic   []Traffic `yaml:"traffic,required" doc:"connections that clients open"`
	Events    []Event   `yaml:"events" doc:"what changes meanwhile, in virtual time"`
	Checks    []Check   `yaml:"checks" doc:"what must hold"`
}

// Text is a string that remembers where it stands.
type Text struct {
	Value string
	At    Pos
}

// Node is a node with rules of its own.
type Node struct {
	At       Pos      `yaml:"-"`
	Name     string   `yaml:"name" doc:"name of the node"`
	Rules    Text     `yaml:"rules,required" doc:"an iptables-save dump, beside the scenario"`
	NodeIPs  []Addr   `yaml:"nodeIPs" doc:"addresses of eth0"`
	PodCIDRs []Prefix `yaml:"podCIDRs" doc:"addresses of the node's own Pods"`
}

// Kernel are settings of the nodes' kernels.
type Kernel struct {
	At           Pos    `yaml:"-"`
	ConntrackMax int    `yaml:"conntrackMax" doc:"nf_conntrack_max: entries beyond which new connections are dropped"`
	Sysctls      []Text `yaml:"sysctls" doc:"kernel parameters, as name=value, set after kube-proxy's own"`
	Together     Share  `yaml:"together" doc:"part of the pairs of datagrams that a socket sends in one moment which two processors take up at once, so that both meet the rules before either's connection is confirmed; none when absent"`
}

// Proxy says how kube-proxy learns and acts.
type Proxy struct {
	At         Pos      `yaml:"-"`
	WatchDelay Duration `yaml:"watchDelay" doc:"time between a change in the API and kube-proxy hearing of it"`
	MinSync    Duration `yaml:"minSync" doc:"least time between two syncs (minSyncPeriod); 0 syncs whenever something changed"`
	Startup    Duration `yaml:"startup" doc:"time between the restart of proxyConfig and the first sync of the new process"`
	Without    []string `yaml:"without" enum:"udpCleanup,terminatingFallback,gracefulTermination,exactProbabilities,hostFilter,dropInvalid" doc:"steps that an older kube-proxy did not have"`
}

// Check is one thing that must hold: exactly one of its bodies.
type Check struct {
	At        Pos        `yaml:"-"`
	Name      string     `yaml:"name,required" doc:"name of the check, as reports print it"`
	Shares    *Shares    `yaml:"shares" doc:"what part of the connections or requests each endpoint, or each node, gets"`
	Reachable *Reachable `yaml:"reachable" doc:"what becomes of every connection"`
	Affinity  *Affinity  `yaml:"affinity" doc:"clients keep their endpoint until the timeout, and not after it"`
	Threshold *Threshold `yaml:"threshold" doc:"a bound on a metric, in k6's spelling"`
	Counter   *Counter   `yaml:"counter" doc:"a bound on what rules counted"`
}

// Shares compares what endpoints get with what they should.
type Shares struct {
	At      Pos    `yaml:"-"`
	Of      string `yaml:"of" enum:"connections,requests" doc:"what is counted; connections when absent"`
	Per     string `yaml:"per" enum:"endpoint,node" doc:"what has the shares: the endpoints, or the nodes by which connections come in; endpoint when absent"`
	Traffic Text   `yaml:"traffic,required" doc:"name of the traffic that is counted"`
	Expect  Expect `yaml:"expect,required" doc:"uniform, rules (what the loaded rules say), or a share for each endpoint"`
	Margin  Margin `yaml:"margin" doc:"how far a share may be off: 10% of itself, or 0.5 points; 10%, at least 0.5 points when absent"`
}

// Reachable says how every connection must end.
type Reachable struct {
	At      Pos    `yaml:"-"`
	Traffic Text   `yaml:"traffic,required" doc:"name of the traffic"`
	Expect  string `yaml:"expect,required" enum:"answered,rejected,dropped" doc:"how its connections end"`

	After  Duration `yaml:"after" doc:"of the connections from this time on alone"`
	Before Duration `yaml:"before" doc:"of the connections before this time alone"`
}

// Affinity says that clients keep their endpoint.
type Affinity struct {
	At      Pos      `yaml:"-"`
	Traffic Text     `yaml:"traffic,required" doc:"name of the traffic"`
	Timeout Duration `yaml:"timeout,required" doc:"how long after its last connection a client keeps its endpoint"`
}

// Threshold bounds a statistic of a metric.
type Threshold struct {
	At      Pos  `yaml:"-"`
	Metric  Text `yaml:"metric,required" doc:"name of the metric: sync_delay, syncs, conntrack_entries of the run; connections, answered, rejected, dropped, failures, connect_time, rules_passed, masqueraded, requests, request_failures, request_time, outage, lookups, lookup_failures, lookup_time, lookup_queries, endpoint_connections, endpoint_requests, endpoint_open, busiest_share, busiest_request_share, idle_endpoints, node_connections, busiest_node_share, exact_share, affinity_broken, affinity_moved, affinity_stuck, affinity_split of a traffic"`
	Traffic Text `yaml:"traffic" doc:"of this traffic; may be left out for metrics of the whole run, and where there is one traffic"`
	Expect  Text `yaml:"expect,required" doc:"statistic, comparison and value: p(99) < 3ms, rate < 0.01, count == 0"`
}

// Counter bounds what rules counted.
type Counter struct {
	At     Pos    `yaml:"-"`
	Node   string `yaml:"node" doc:"name of the node; the modelled one, or the first, when absent"`
	Rule   Text   `yaml:"rule,required" doc:"text that the rules hold, as iptables-save prints them"`
	Family string `yaml:"family" enum:"ipv4,ipv6" doc:"rules of this family; ipv4 when absent"`
	Expect Text   `yaml:"expect,required" doc:"comparison of the packets that they counted together: count > 0"`
}
