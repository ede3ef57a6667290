package kubeproxy

import (
	"net/netip"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/packet"
)

// gracefulInterval is the time between two looks at the servers that wait for their last connection to end
// (pkg/proxy/ipvs/graceful_termination.go, rsCheckDeleteInterval, v1.37).
const gracefulInterval = time.Minute

// Graceful is a Proxier that has work to do between syncs: the ipvs mode's.
type Graceful interface {
	Proxier
	// NextCheck is the time at which Check is due next. A sync that comes later runs it first.
	NextCheck() time.Duration
	// Check deletes those servers of weight 0 whose last connection has ended.
	Check(now time.Duration, h Host) Result
	// Terminating lists the servers that wait, as VIRTUAL/PROTOCOL/REAL, sorted.
	Terminating() []string
}

var _ Graceful = (*ipvsProxier)(nil)

// waiting is a server that waits for its last connection to end.
type waiting struct {
	key    ipvs.ServiceKey
	server netip.AddrPort
}

// virtualName spells a virtual server as kube-proxy's log and lists do.
func virtualName(k ipvs.ServiceKey) string {
	return k.Addr.String() + "/" + strings.ToUpper(k.Proto.String())
}

func (w waiting) name() string { return virtualName(w.key) + "/" + w.server.String() }

// Terminating lists the servers that wait.
func (p *ipvsProxier) Terminating() []string { return sortedKeys(p.waiting) }

// NextCheck is the time of the next look.
func (p *ipvsProxier) NextCheck() time.Duration { return p.nextCheck }

// Check looks at the servers that wait, in the order of their names; kube-proxy's is random.
func (p *ipvsProxier) Check(now time.Duration, h Host) Result {
	r := run{host: h, Result: Result{Dumps: -1}}
	for p.nextCheck <= now {
		p.nextCheck += gracefulInterval
	}
	host, ok := h.(IPVSHost)
	if !ok {
		r.Err = &UnsupportedHostError{}
		return r.Result
	}
	for _, n := range sortedKeys(p.waiting) {
		gone, err := r.deleteServer(host, p.waiting[n])
		if err != nil {
			r.logf("ERROR Error in deleting real server realServer=", n, " err=", err.Error())
		}
		if gone {
			r.logf("Removed real server from graceful delete real server list realServer=", n)
			delete(p.waiting, n)
		}
	}
	return r.Result
}

// removeServer takes a server out: at once if nothing refers to it, else by weight 0 and a wait.
func (x *ipvsSync) removeServer(w waiting) error {
	gone, err := x.deleteServer(x.ipvsHost, w)
	if err != nil {
		x.logf("ERROR Error in deleting real server realServer=", w.name(), " err=", err.Error())
	}
	if gone {
		return nil
	}
	err = x.do(datapath.IPVSDestinationEdit{Key: w.key, Destination: ipvs.DestinationConfig{Addr: w.server, Weight: 0}})
	if err == nil {
		x.p.waiting[w.name()] = w
	}
	return err
}

// deleteServer deletes a server unless TCP connections refer to it. Flows of UDP and SCTP are not waited for: with
// expire_nodest_conn their next packet finds another server.
func (r *run) deleteServer(h IPVSHost, w waiting) (gone bool, err error) {
	servers, ok := h.RealServers(w.key)
	if !ok {
		return false, &gracefulError{w.name(), "could not get IPVS destination for service"}
	}
	for _, s := range servers {
		if s.Addr != w.server {
			continue
		}
		if w.key.Proto == packet.TCP && s.Active+s.Inactive != 0 {
			return false, nil
		}
		if err := r.do(datapath.IPVSDestinationDelete{Key: w.key, Server: w.server}); err != nil {
			return false, err
		}
		return true, nil
	}
	return true, &gracefulError{w.name(), "can't find the real server"}
}
