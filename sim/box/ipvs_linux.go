package box

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"time"

	moby "github.com/moby/ipvs"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/packet"
)

// Flags of services (include/uapi/linux/ip_vs.h).
const (
	svcPersistent = 0x1
	svcOnePacket  = 0x4
	svcFirstFlag  = 3 // bit of IP_VS_SVC_F_SCHED1; the two that follow are the scheduler's as well
)

// IPVS is IPVS of a namespace, programmed by generic netlink.
type IPVS struct {
	ns     *Namespace
	h      *moby.Handle
	many   *bulk  // for RunAll
	family uint16 // of generic netlink
}

// IPVS opens IPVS of the namespace. The library loads ip_vs where it can, so this is for the box alone. An error is a MissingError
// where the kernel has none.
func (n *Namespace) IPVS() (*IPVS, error) {
	v := &IPVS{ns: n}
	err := n.Do(func() (err error) {
		if err := n.in.guard("IPVS"); err != nil {
			return err
		}
		v.h, err = moby.New("")
		if err == nil {
			_, err = v.h.GetConfig()
		}
		return err
	})
	if err == nil {
		_, err = n.procFile("ip_vs")
	}
	if err != nil {
		return nil, &MissingError{What: "IPVS", Reason: NoKernelFeature, Err: err, Mend: "sudo modprobe ip_vs, or use --kernel uml"}
	}
	return v, nil
}

// Close closes the sockets; IPVS stays as it is.
func (v *IPVS) Close() {
	if v == nil {
		return
	}
	v.h.Close()
	if v.many != nil {
		v.many.close()
	}
}

// Run carries out one command.
func (v *IPVS) Run(c ipvs.Command) error {
	s, d := mobyService(c.Service), mobyDestination(c.Server)
	var err error
	switch c.Op {
	case ipvs.ServiceAdd:
		err = v.h.NewService(s)
	case ipvs.ServiceEdit:
		err = v.h.UpdateService(s)
	case ipvs.ServiceDelete:
		err = v.h.DelService(s)
	case ipvs.ServerAdd:
		err = v.h.NewDestination(s, d)
	case ipvs.ServerEdit:
		err = v.h.UpdateDestination(s, d)
	case ipvs.ServerDelete:
		err = v.h.DelDestination(s, d)
	case ipvs.Clear:
		err = v.h.Flush()
	default:
		err = unix.EINVAL
	}
	if err != nil {
		return fmt.Errorf("ipvsadm %s: %w", c, err)
	}
	return nil
}

// RunAll carries out commands in their order, with few system calls. failed is the one that the error is about: some that follow
// it may have been carried out.
func (v *IPVS) RunAll(list []ipvs.Command) (failed int, err error) {
	if v.many == nil {
		var f *netlink.GenlFamily
		err := v.ns.Do(func() (err error) { f, err = netlink.GenlFamilyGet("IPVS"); return err })
		if err != nil {
			return 0, fmt.Errorf("generic netlink: %w", err)
		}
		b, err := v.ns.openBulk(unix.NETLINK_GENERIC)
		if err != nil {
			return 0, err
		}
		v.many, v.family = b, f.ID
	}
	failed, err = v.many.run(len(list), func(i int) request { return request{kind: v.family, body: ipvsMessage(&list[i])} }, nil)
	if err != nil {
		return failed, fmt.Errorf("ipvsadm %s: %w", list[failed], err)
	}
	return failed, nil
}

// Commands and attributes of generic netlink (include/uapi/linux/ip_vs.h, IPVS_CMD_ and its kin).
var ipvsCommands = map[ipvs.CommandOp]byte{
	ipvs.ServiceAdd: 1, ipvs.ServiceEdit: 2, ipvs.ServiceDelete: 3, ipvs.ServerAdd: 5, ipvs.ServerEdit: 6, ipvs.ServerDelete: 7, ipvs.Clear: 17,
}

const (
	ipvsService, ipvsServer = 1, 2

	serviceFamily, serviceProtocol, serviceAddress, servicePort, serviceMark         = 1, 2, 3, 4, 5
	serviceScheduler, serviceFlags, serviceTimeout, serviceNetmask                   = 6, 7, 8, 9
	serverAddress, serverPort, serverForward, serverWeight, serverUpper, serverLower = 1, 2, 3, 4, 5, 6
)

// ipvsMessage is a command as generic netlink has it. A command that there is none for asks for command 0, which the kernel refuses.
func ipvsMessage(c *ipvs.Command) []byte {
	m := attributes{ipvsCommands[c.Op], 1, 0, 0} // struct genlmsghdr
	if c.Op == ipvs.Clear {
		return m
	}
	s := mobyService(c.Service)
	a := attributes(nil).u16(serviceFamily, s.AddressFamily)
	if s.FWMark != 0 {
		a = a.u32(serviceMark, s.FWMark)
	} else {
		a = a.u16(serviceProtocol, s.Protocol).add(serviceAddress, s.Address).port(servicePort, s.Port)
	}
	a = a.add(serviceScheduler, append([]byte(s.SchedName), 0))
	flags := binary.NativeEndian.AppendUint32(nil, s.Flags)
	a = a.add(serviceFlags, binary.NativeEndian.AppendUint32(flags, ^uint32(0))) // with their mask
	a = a.u32(serviceTimeout, s.Timeout).u32(serviceNetmask, s.Netmask)
	m = m.add(ipvsService, a)
	switch c.Op {
	case ipvs.ServerAdd, ipvs.ServerEdit, ipvs.ServerDelete:
		d := mobyDestination(c.Server)
		m = m.add(ipvsServer, attributes(nil).add(serverAddress, d.Address).port(serverPort, d.Port).
			u32(serverForward, d.ConnectionFlags&moby.ConnectionFlagFwdMask).u32(serverWeight, uint32(d.Weight)).
			u32(serverUpper, d.UpperThreshold).u32(serverLower, d.LowerThreshold))
	}
	return m
}

// SetTimeouts sets those timeouts that are not zero.
func (v *IPVS) SetTimeouts(t ipvs.Timeouts) error {
	err := v.h.SetConfig(&moby.Config{TimeoutTCP: t.TCP, TimeoutTCPFin: t.TCPFIN, TimeoutUDP: t.UDP})
	if err != nil {
		return fmt.Errorf("ipvsadm --set %s: %w", t, err)
	}
	return nil
}

// Timeouts are the timeouts in force.
func (v *IPVS) Timeouts() (ipvs.Timeouts, error) {
	c, err := v.h.GetConfig()
	if err != nil {
		return ipvs.Timeouts{}, fmt.Errorf("ipvsadm -L --timeout: %w", err)
	}
	return ipvs.Timeouts{TCP: c.TimeoutTCP, TCPFIN: c.TimeoutTCPFin, UDP: c.TimeoutUDP}, nil
}

// procFile is a file of the namespace's /proc/net.
func (n *Namespace) procFile(name string) (string, error) {
	var text []byte
	err := n.Do(func() (err error) {
		text, err = os.ReadFile("/proc/thread-self/net/" + name)
		return err
	})
	return string(text), err
}

// Dump is IPVS as the kernel tells it: services and servers in their list order and with their connections as /proc/net/ip_vs has
// them, with the scheduler's flags, thresholds and statistics as netlink has them.
func (v *IPVS) Dump() (*ipvs.Dump, error) {
	text, err := v.ns.procFile("ip_vs")
	if err != nil {
		return nil, fmt.Errorf("/proc/net/ip_vs: %w", err)
	}
	d, err := ipvs.ParseProcServices("/proc/net/ip_vs", text, 1) // ticks of a kernel's own length: netlink has seconds
	if err != nil {
		return nil, err
	}
	all, err := v.h.GetServices()
	if err != nil {
		return nil, fmt.Errorf("ipvsadm -L: %w", err)
	}
	known := map[string]*moby.Service{}
	for _, s := range all {
		known[mobyKey(s)] = s
	}
	for i := range d.Services {
		if err := v.details(&d.Services[i], known); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// mobyKey is what tells services apart.
func mobyKey(s *moby.Service) string {
	return fmt.Sprint(s.AddressFamily, s.Protocol, s.Address, s.Port, s.FWMark)
}

// details adds to a service what /proc/net/ip_vs does not show.
func (v *IPVS) details(s *ipvs.DumpService, known map[string]*moby.Service) error {
	key := mobyService(s.ServiceConfig)
	got := known[mobyKey(key)]
	if got == nil {
		return fmt.Errorf("ipvsadm -L %s: it is gone", s.Key)
	}
	s.OnePacket = got.Flags&svcOnePacket != 0 // of IPv6 services the file says nothing of it
	if s.Persistence > 0 {
		s.Persistence = time.Duration(got.Timeout) * time.Second
	}
	s.Flags = ipvs.SchedulerFlags(got.Flags >> svcFirstFlag & 7)
	s.Stats = statsOf(got.Stats)
	servers, err := v.h.GetDestinations(key)
	if err != nil {
		return fmt.Errorf("servers of %s: %w", s.Key, err)
	}
	for _, e := range servers {
		a, _ := netip.AddrFromSlice(e.Address)
		at := netip.AddrPortFrom(a.Unmap(), e.Port)
		for i := range s.Servers {
			if x := &s.Servers[i]; x.Addr == at {
				x.Upper, x.Lower = e.UpperThreshold, e.LowerThreshold
				x.Stats = statsOf(moby.SvcStats(e.Stats))
			}
		}
	}
	return nil
}

func statsOf(s moby.SvcStats) *ipvs.Stats {
	return &ipvs.Stats{
		Conns: uint64(s.Connections), InPackets: uint64(s.PacketsIn), InBytes: s.BytesIn,
		OutPackets: uint64(s.PacketsOut), OutBytes: s.BytesOut,
	}
}

func mobyService(c ipvs.ServiceConfig) *moby.Service {
	s := &moby.Service{
		SchedName: c.Scheduler, Timeout: uint32(c.Persistence / time.Second), FWMark: c.Key.Mark, Protocol: uint16(c.Key.Proto),
		AddressFamily: unix.AF_INET, Flags: uint32(c.Flags) << svcFirstFlag, Netmask: ^uint32(0),
	}
	if s.SchedName == "" {
		s.SchedName = "wlc"
	}
	if c.Key.Mark == 0 {
		s.Address, s.Port = c.Key.Addr.Addr().AsSlice(), c.Key.Addr.Port()
	}
	if c.Persistence > 0 {
		s.Flags |= svcPersistent
	}
	if c.OnePacket {
		s.Flags |= svcOnePacket
	}
	bits := c.MaskBits
	if c.Key.Family == packet.IPv6 {
		if s.AddressFamily, s.Netmask = unix.AF_INET6, uint32(bits); bits == 0 {
			s.Netmask = 128
		}
	} else if bits > 0 {
		m := ^uint32(0) << (32 - bits) // in network order on the wire
		s.Netmask = m<<24 | m<<8&0xff0000 | m>>8&0xff00 | m>>24
	}
	return s
}

// forwardFlags are the forwarding methods as connection flags (IP_VS_CONN_F_MASQ and its kin).
var forwardFlags = map[ipvs.Forward]uint32{
	ipvs.Masquerade: 0, ipvs.LocalNode: 1, ipvs.Tunnel: 2, ipvs.DirectRoute: 3, ipvs.Bypass: 4,
}

func mobyDestination(c ipvs.DestinationConfig) *moby.Destination {
	d := &moby.Destination{
		Weight: c.Weight, ConnectionFlags: forwardFlags[c.Forward], UpperThreshold: c.Upper, LowerThreshold: c.Lower, Port: c.Addr.Port(),
	}
	if c.Addr.IsValid() {
		d.Address = c.Addr.Addr().AsSlice()
	}
	return d
}
