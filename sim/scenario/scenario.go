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
	Nodes     []Node    `yaml:"nodes" doc:"nodes that load a dump in place of what kube-proxy would program"`
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

// Traffic is a group of connections with one purpose.
type Traffic struct {
	At          Pos      `yaml:"-"`
	Name        string   `yaml:"name,required" doc:"name of the traffic, for checks to refer to"`
	From        From     `yaml:"from,required" doc:"who connects"`
	To          To       `yaml:"to,required" doc:"where to"`
	Protocol    string   `yaml:"protocol" enum:"tcp,udp,sctp" doc:"transport protocol; that of the Service port when absent, else tcp"`
	Connections int      `yaml:"connections,required" doc:"how many connections in all"`
	Rate        Rate     `yaml:"rate" doc:"arrivals in a unit of time: 1000/s, 60/m; 1000/s when absent"`
	Arrivals    string   `yaml:"arrivals" enum:"constant,poisson" doc:"constant spaces arrivals evenly, poisson draws the gaps; constant when absent"`
	Start       Duration `yaml:"start" doc:"when the first connection may come"`
	Duration    Duration `yaml:"duration" doc:"how long a connection stays open; 0 closes it at once"`
	KeepOpen    bool     `yaml:"keepOpen" doc:"connections are never closed"`
}

// From says who connects: exactly one of its fields.
type From struct {
	At        Pos    `yaml:"-"`
	Pods      int    `yaml:"pods" doc:"this many Pods of the modelled node"`
	OtherPods int    `yaml:"otherPods" doc:"this many Pods of other nodes"`
	External  int    `yaml:"external" doc:"this many clients outside the cluster"`
	Node      bool   `yaml:"node" doc:"the modelled node itself"`
	Loopback  bool   `yaml:"loopback" doc:"the modelled node, from 127.0.0.1 or ::1"`
	Addresses []Addr `yaml:"addresses" doc:"these addresses"`
}

// To says where a connection goes: a Service or an address.
type To struct {
	At      Pos      `yaml:"-"`
	Service Text     `yaml:"service" doc:"a Service, as namespace/name"`
	Port    PortRef  `yaml:"port" doc:"port of the Service, by number or name; may be left out when there is one"`
	Via     string   `yaml:"via" enum:"clusterIP,nodePort,externalIP,loadBalancer" doc:"by which front end of the Service; clusterIP when absent"`
	Family  string   `yaml:"family" enum:"ipv4,ipv6" doc:"by which family of a dual-stack Service; its first when absent"`
	Address AddrPort `yaml:"address" doc:"an address and port, in place of a Service"`
}

// Event is one change at one time.
type Event struct {
	At       Duration       `yaml:"at,required" doc:"virtual time since the run began"`
	Pos      Pos            `yaml:"-"`
	Endpoint *EndpointEvent `yaml:"endpoint" doc:"an endpoint changes"`
}

// EndpointEvent changes the endpoints that have an address.
type EndpointEvent struct {
	At          Pos    `yaml:"-"`
	Address     Addr   `yaml:"address,required" doc:"the endpoint's address"`
	Service     string `yaml:"service" doc:"of this Service alone, as namespace/name"`
	Ready       *bool  `yaml:"ready" doc:"whether it takes new connections"`
	Serving     *bool  `yaml:"serving" doc:"whether it answers, ready or not"`
	Terminating *bool  `yaml:"terminating" doc:"whether it is being deleted"`
	Removed     bool   `yaml:"removed" doc:"it is gone from its EndpointSlice"`
}

// Check is one thing that must hold: exactly one of its bodies.
type Check struct {
	At        Pos        `yaml:"-"`
	Name      string     `yaml:"name,required" doc:"name of the check, as reports print it"`
	Shares    *Shares    `yaml:"shares" doc:"what part of the connections each endpoint gets"`
	Reachable *Reachable `yaml:"reachable" doc:"what becomes of every connection"`
}

// Shares compares what endpoints get with what they should.
type Shares struct {
	At      Pos    `yaml:"-"`
	Of      string `yaml:"of" enum:"connections" doc:"what is counted; connections when absent"`
	Traffic Text   `yaml:"traffic,required" doc:"name of the traffic that is counted"`
	Expect  Expect `yaml:"expect,required" doc:"uniform, rules (what the loaded rules say), or a share for each endpoint"`
	Margin  Margin `yaml:"margin" doc:"how far a share may be off: 10% of itself, or 0.5 points; 10%, at least 0.5 points when absent"`
}

// Reachable says how every connection must end.
type Reachable struct {
	At      Pos    `yaml:"-"`
	Traffic Text   `yaml:"traffic,required" doc:"name of the traffic"`
	Expect  string `yaml:"expect,required" enum:"answered,rejected,dropped" doc:"how its connections end"`
}
