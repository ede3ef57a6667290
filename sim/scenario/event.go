package scenario

// Event is one change at one time: exactly one of its bodies.
type Event struct {
	At            Duration       `yaml:"at,required" doc:"virtual time since the run began"`
	Pos           Pos            `yaml:"-"`
	Endpoint      *EndpointEvent `yaml:"endpoint" doc:"an endpoint changes"`
	Add           *AddEvent      `yaml:"add" doc:"an endpoint comes"`
	Scale         *ScaleEvent    `yaml:"scale" doc:"a Service gets more or fewer endpoints"`
	RollingUpdate *RollingUpdate `yaml:"rollingUpdate" doc:"a Service's endpoints are replaced as a Deployment does it"`
	NodeLost      *NodeLost      `yaml:"nodeLost" doc:"a node vanishes with its Pods"`
	Apply         []Object       `yaml:"apply" doc:"Kubernetes objects are created or replaced"`
	Delete        *DeleteEvent   `yaml:"delete" doc:"a Kubernetes object is deleted"`
	ProxyConfig   *ProxyConfig   `yaml:"proxyConfig" doc:"kube-proxy is restarted with another configuration"`
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
	Dies        bool   `yaml:"dies" doc:"it answers no more; its EndpointSlice is as it was"`
}

// AddEvent brings an endpoint.
type AddEvent struct {
	At      Pos    `yaml:"-"`
	Service Text   `yaml:"service,required" doc:"the Service, as namespace/name"`
	Address Addr   `yaml:"address,required" doc:"the endpoint's address"`
	Node    string `yaml:"node" doc:"the node it runs on"`
}

// ScaleEvent changes the number of endpoints.
type ScaleEvent struct {
	At       Pos  `yaml:"-"`
	Service  Text `yaml:"service,required" doc:"the Service, as namespace/name"`
	Replicas int  `yaml:"replicas" doc:"endpoints that it is to have; 0 when absent"`
}

// RollingUpdate replaces endpoints one after another.
type RollingUpdate struct {
	At             Pos      `yaml:"-"`
	Service        Text     `yaml:"service,required" doc:"the Service, as namespace/name"`
	MaxSurge       int      `yaml:"maxSurge" doc:"endpoints beyond the number there were, at any time"`
	MaxUnavailable int      `yaml:"maxUnavailable" doc:"endpoints that may be missing, at any time"`
	ReadyAfter     Duration `yaml:"readyAfter" doc:"time from a new endpoint's creation to its being ready; 1s when absent"`
	Termination    Duration `yaml:"termination" doc:"how long an old endpoint goes on serving while it terminates"`
	SameNode       bool     `yaml:"sameNode" doc:"a new endpoint comes to the node of the one that it replaces"`
	On             []string `yaml:"on" doc:"nodes that new endpoints come to by turns; every node when absent"`
}

// NodeLost takes a node away.
type NodeLost struct {
	At       Pos      `yaml:"-"`
	Node     Text     `yaml:"node,required" doc:"name of the node"`
	Detected Duration `yaml:"detected" doc:"time until its endpoints are no longer ready and balancers pass it by; 40s when absent"`
}

// DeleteEvent deletes an object.
type DeleteEvent struct {
	At   Pos    `yaml:"-"`
	Kind string `yaml:"kind,required" enum:"Service,EndpointSlice" doc:"kind of the object"`
	Name Text   `yaml:"name,required" doc:"the object, as namespace/name"`
}

// ProxyConfig is another configuration of kube-proxy.
type ProxyConfig struct {
	At        Pos    `yaml:"-"`
	Mode      string `yaml:"mode" enum:"iptables,ipvs,nftables" doc:"the new process's mode; as before when absent"`
	Scheduler string `yaml:"scheduler" doc:"ipvs.scheduler of the new process; as before when absent"`
	Config    Object `yaml:"config" doc:"a KubeProxyConfiguration, or a ConfigMap kube-proxy, in place of the one before"`
	CleanUp   bool   `yaml:"cleanUp" doc:"kube-proxy --cleanup is run between the old process and the new"`
	Node      string `yaml:"node" doc:"on this node alone; on every modelled node when absent"`
}
