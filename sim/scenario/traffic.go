package scenario

// Traffic is a group of connections with one purpose.
type Traffic struct {
	At             Pos       `yaml:"-"`
	Name           string    `yaml:"name,required" doc:"name of the traffic, for checks to refer to"`
	From           From      `yaml:"from,required" doc:"who connects"`
	To             To        `yaml:"to,required" doc:"where to"`
	Protocol       string    `yaml:"protocol" enum:"tcp,udp,sctp" doc:"transport protocol; that of the Service port when absent, else tcp"`
	Connections    int       `yaml:"connections" doc:"how many connections in all; with a pool, how many requests; 100000 when absent"`
	Rate           Rate      `yaml:"rate" doc:"arrivals in a unit of time: 1000/s, 60/m; 1000/s when absent"`
	Arrivals       string    `yaml:"arrivals" enum:"constant,poisson,bursts,onOff" doc:"constant spaces arrivals evenly, poisson draws the gaps, bursts brings several at once, onOff pauses; constant when absent"`
	Burst          int       `yaml:"burst" doc:"arrivals of one burst, which come at the same moment; the rate counts arrivals, not bursts"`
	On             Duration  `yaml:"on" doc:"with arrivals onOff: how long arrivals come"`
	Off            Duration  `yaml:"off" doc:"with arrivals onOff: how long the pause lasts that follows"`
	Start          Duration  `yaml:"start" doc:"when the first connection may come"`
	Duration       Duration  `yaml:"duration" doc:"how long a connection stays open; 0 closes it at once"`
	Lengths        string    `yaml:"lengths" enum:"constant,exponential" doc:"whether all connections last the duration, or it is the mean of an exponential distribution; constant when absent"`
	KeepOpen       bool      `yaml:"keepOpen" doc:"connections are never closed"`
	Requests       *Requests `yaml:"requests" doc:"what is asked on each connection; nothing beyond its opening when absent"`
	Pool           *Pool     `yaml:"pool" doc:"clients keep connections and send each request on one that is open"`
	ConnectTimeout Duration  `yaml:"connectTimeout" doc:"a client that hears nothing sends its SYN again after 1 s, 2 s more, 4 s more and so on, up to this time; 0 sends it once"`
	RequestTimeout Duration  `yaml:"requestTimeout" doc:"how long a client waits for the answer to a request before it gives the connection up; 1s when absent. In the replay world what is answered is answered at once"`
	RequestBytes   int       `yaml:"requestBytes" doc:"bytes of a request; 100 when absent"`
	ReplyBytes     int       `yaml:"replyBytes" doc:"bytes of an answer; 1000 when absent"`
	Resolver       *Resolver `yaml:"resolver" doc:"how clients look up the name that they connect to"`
	Ports          int       `yaml:"ports" doc:"a client's source ports, used in turn; 1 is a socket that is kept; Linux's range when absent"`
	NoReply        bool      `yaml:"noReply" doc:"the endpoint answers nothing: UDP such as syslog"`
}

// Requests are what a connection is used for.
type Requests struct {
	At        Pos      `yaml:"-"`
	Count     int      `yaml:"count" doc:"requests on each connection; as many as fit its duration when absent"`
	Every     Duration `yaml:"every" doc:"time between two requests of a connection"`
	Reconnect bool     `yaml:"reconnect" doc:"a client whose request is not answered opens another connection"`
}

// Pool is a pool of connections of each client.
type Pool struct {
	At          Pos      `yaml:"-"`
	Size        int      `yaml:"size,required" doc:"connections that each client keeps"`
	MaxRequests int      `yaml:"maxRequests" doc:"requests after which a connection is closed and another opened; without bound when absent"`
	MaxAge      Duration `yaml:"maxAge" doc:"age at which a connection is closed and another opened; without bound when absent"`
}

// From says who connects: exactly one of its fields, and on which nodes.
type From struct {
	At        Pos      `yaml:"-"`
	Pods      int      `yaml:"pods" doc:"this many Pods of the modelled node; of several modelled nodes, spread evenly"`
	OtherPods int      `yaml:"otherPods" doc:"this many Pods of nodes that are not modelled"`
	External  int      `yaml:"external" doc:"this many clients outside the cluster"`
	Node      bool     `yaml:"node" doc:"the modelled node itself; of several, each"`
	Loopback  bool     `yaml:"loopback" doc:"the modelled node, from 127.0.0.1 or ::1"`
	Addresses []Addr   `yaml:"addresses" doc:"these addresses"`
	Endpoint  Addr     `yaml:"endpoint" doc:"the endpoint that has this address: a Pod that asks for a Service of its own"`
	On        []string `yaml:"on" doc:"with pods and node: only these of the modelled nodes"`
	Zone      string   `yaml:"zone" doc:"with pods and node: only modelled nodes of this zone"`
}

// To says where a connection goes: a Service, an address, or a name that is looked up for every connection.
type To struct {
	At       Pos      `yaml:"-"`
	Service  Text     `yaml:"service" doc:"a Service, as namespace/name"`
	Name     Text     `yaml:"name" doc:"a name, in place of a Service: each connection begins with looking it up, as a Pod does, through the Service kube-dns; then it goes to the first address, at port"`
	Port     PortRef  `yaml:"port" doc:"port of the Service, by number or name; may be left out when there is one"`
	Via      string   `yaml:"via" enum:"clusterIP,nodePort,externalIP,loadBalancer" doc:"by which front end of the Service; clusterIP when absent"`
	Family   string   `yaml:"family" enum:"ipv4,ipv6" doc:"by which family of a dual-stack Service; its first when absent"`
	Address  AddrPort `yaml:"address" doc:"an address and port, in place of a Service"`
	Node     string   `yaml:"node" doc:"with nodePort: on this node; else on the modelled one, or as the balancer says"`
	Balancer string   `yaml:"balancer" enum:"roundRobin,ecmp,l2" doc:"what spreads connections from outside over the nodes: each in turn, a hash of the five-tuple, or one node that announces the address; roundRobin when absent and several nodes are modelled"`
	Every    bool     `yaml:"everyNode" doc:"the balancer sends to every node; otherwise a Service of policy Local has it pass by nodes without an endpoint, as health checks tell it"`
	Health   Duration `yaml:"healthDelay" doc:"how long after a node's endpoints changed the balancer knows: period and threshold of its health checks"`
}
