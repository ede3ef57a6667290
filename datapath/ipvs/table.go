package ipvs

import (
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// Table is the IPVS state of one node. One goroutine owns it. Make it with NewTable.
type Table struct {
	services map[ServiceKey]*Service
	list     []*Service // by creation

	marks, ftps, portZeros int // services of each kind, as lookups skip kinds that do not exist

	trash     []*Destination
	trashTick time.Duration // next look at the trash; 0 while it is empty
	sweep     time.Duration // when entries of deleted servers are swept; negative: not planned

	conns     connTable
	tickers   []*Service // whose schedulers have timers
	flow      flow       // of the packet being scheduled
	now       time.Duration
	serviceID uint64

	sysctl   Sysctls
	timeouts Timeouts

	// Dropped, when set, is told of each entry that kept its conntrack entry (conntrack=1) when the entry ends, so that the
	// node can drop it too: the tuple of the client's packets (ip_vs_nfct.c, ip_vs_conn_drop_conntrack).
	Dropped func(packet.Tuple)
}

// NewTable returns an empty table.
func NewTable(s Sysctls) *Table {
	t := &Table{services: map[ServiceKey]*Service{}, sweep: -1, sysctl: s, timeouts: DefaultTimeouts()}
	return t
}

// Idle reports whether there is nothing that a packet could meet: no service and no connection.
func (t *Table) Idle() bool { return len(t.list) == 0 && len(t.conns.heap) == 0 }

// Services returns the services by order of creation.
func (t *Table) Services() []*Service { return append([]*Service(nil), t.list...) }

// Service returns the service of a key, nil when there is none.
func (t *Table) Service(k ServiceKey) *Service { return t.services[k] }

// Now is the virtual time of the last Advance or packet.
func (t *Table) Now() time.Duration { return t.now }

// AddService makes a virtual service without servers (ip_vs_add_service). The error is an *OpError of ErrServiceExists or of
// a reason found in the configuration.
func (t *Table) AddService(c ServiceConfig) error {
	c = c.withDefaults()
	if err := t.checkServiceConfig(c); err != nil {
		return &OpError{"add service", c.Key.String(), err}
	}
	if t.services[c.Key] != nil {
		return &OpError{"add service", c.Key.String(), ErrServiceExists}
	}
	t.serviceID++
	s := &Service{ServiceConfig: c, ID: t.serviceID, table: t}
	s.head.prev, s.head.next = &s.head, &s.head
	t.bindScheduler(s)
	t.services[c.Key] = s
	t.list = append(t.list, s)
	t.countKinds(c.Key, 1)
	return nil
}

// EditService changes scheduler, flags and persistence of a service (ip_vs_edit_service). A new scheduler starts afresh with
// the servers present; the same scheduler keeps its state.
func (t *Table) EditService(c ServiceConfig) error {
	c = c.withDefaults()
	s := t.services[c.Key]
	if s == nil {
		return &OpError{"edit service", c.Key.String(), ErrNoService}
	}
	if err := t.checkServiceConfig(c); err != nil {
		return &OpError{"edit service", c.Key.String(), err}
	}
	change := s.Scheduler != c.Scheduler
	if change {
		t.unbindScheduler(s)
	}
	s.ServiceConfig = c
	if change {
		t.bindScheduler(s)
	}
	return nil
}

// DeleteService removes a service; its servers go to the trash (ip_vs_unlink_service).
func (t *Table) DeleteService(k ServiceKey) error {
	s := t.services[k]
	if s == nil {
		return &OpError{"delete service", k.String(), ErrNoService}
	}
	t.unbindScheduler(s)
	for d := s.first(); d != nil; d = s.first() {
		s.unlink(d)
		t.discard(d)
	}
	delete(t.services, k)
	for i := range t.list {
		if t.list[i] == s {
			t.list = append(t.list[:i], t.list[i+1:]...)
			break
		}
	}
	t.countKinds(k, -1)
	return nil
}

// Flush removes every service (ipvsadm -C).
func (t *Table) Flush() {
	for len(t.list) > 0 {
		_ = t.DeleteService(t.list[0].Key) // it exists
	}
}

// AddDestination puts a server at the head of a service's list; a server of the same address that is still in the trash
// comes back with its counters (ip_vs_add_dest).
func (t *Table) AddDestination(k ServiceKey, c DestinationConfig) error {
	s, err := t.destinationOp("add server", k, &c)
	if err != nil {
		return err
	}
	if s.find(c.Addr) != nil {
		return &OpError{"add server", onServer(k, c.Addr), ErrDestinationExists}
	}
	d := t.reclaim(k, c.Addr)
	if d == nil {
		d = &Destination{service: k}
	}
	d.owner = s
	d.update(c, true)
	s.link(d)
	s.sched.changed(s, d, added)
	return nil
}

// EditDestination changes weight, thresholds and forwarding of a server, which keeps its place (ip_vs_edit_dest).
func (t *Table) EditDestination(k ServiceKey, c DestinationConfig) error {
	s, err := t.destinationOp("edit server", k, &c)
	if err != nil {
		return err
	}
	d := s.find(c.Addr)
	if d == nil {
		return &OpError{"edit server", onServer(k, c.Addr), ErrNoDestination}
	}
	d.update(c, false)
	s.sched.changed(s, d, edited)
	return nil
}

// DeleteDestination takes a server out of its service; it lingers in the trash while entries refer to it (ip_vs_del_dest).
func (t *Table) DeleteDestination(k ServiceKey, a netip.AddrPort) error {
	s := t.services[k]
	if s == nil {
		return &OpError{"delete server", onServer(k, a), ErrNoService}
	}
	d := s.find(a)
	if d == nil {
		return &OpError{"delete server", onServer(k, a), ErrNoDestination}
	}
	s.unlink(d)
	s.sched.changed(s, d, removed)
	t.discard(d)
	return nil
}

func (t *Table) destinationOp(op string, k ServiceKey, c *DestinationConfig) (*Service, error) {
	s := t.services[k]
	if s == nil {
		return nil, &OpError{op, onServer(k, c.Addr), ErrNoService}
	}
	if err := checkDestination(k, *c); err != nil {
		return nil, &OpError{op, onServer(k, c.Addr), err}
	}
	return s, nil
}

func (t *Table) checkServiceConfig(c ServiceConfig) error {
	if err := checkService(c); err != nil {
		return err
	}
	return checkScheduler(c.Scheduler, c.Flags)
}

func (t *Table) countKinds(k ServiceKey, n int) {
	switch {
	case k.Mark != 0:
		t.marks += n
	case k.Addr.Port() == ftpPort:
		t.ftps += n
	case k.Addr.Port() == 0:
		t.portZeros += n
	}
}

func (c ServiceConfig) withDefaults() ServiceConfig {
	if c.Scheduler == "" {
		c.Scheduler = DefaultScheduler
	}
	bits := 32
	if c.Key.Family == packet.IPv6 {
		bits = 128
	}
	if c.MaskBits == bits || c.Persistence == 0 {
		c.MaskBits = 0
	}
	return c
}

func onServer(k ServiceKey, a netip.AddrPort) string { return k.String() + " -r " + a.String() }
