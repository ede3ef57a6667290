package ipvs

import (
	"strconv"
	"strings"
	"time"
)

// Sysctls are net.ipv4.vs.*, as far as they are modelled. The zero value differs from the kernel's default in
// ConnReuseMode; start from DefaultSysctls.
type Sysctls struct {
	ConnReuseMode           int  // 0: a SYN stays with its old entry; 1: TIME_WAIT and CLOSE are rescheduled; bit 2: FIN_WAIT too
	ExpireNodestConn        bool // entries of removed servers end at once
	ExpireQuiescentTemplate bool // templates of servers of weight 0 are not used
	Conntrack               bool // conntrack entries are kept and altered, not thrown away
	SloppyTCP, SloppySCTP   bool // any packet may open a connection
	CacheBypass             bool // a mark service without servers sends packets to their own destination
	NATICMPSend             bool // a server's reply without entry is answered with port unreachable

	// ReuseDropsNew is no parameter but a kernel before 5.9: a SYN that leaves its old entry is dropped whenever conntrack is kept,
	// though its own conntrack entry is new; the client's next SYN, a second later, is scheduled.
	ReuseDropsNew bool

	LBLCExpiration, LBLCRExpiration time.Duration // of cache entries; 0 is the kernel's 24 h
}

// DefaultSysctls are the kernel's defaults (net/netfilter/ipvs/ip_vs_ctl.c, ip_vs_control_net_init_sysctl).
func DefaultSysctls() Sysctls { return Sysctls{ConnReuseMode: 1} }

const defaultCacheExpiration = 24 * time.Hour

func (s *Sysctls) lblc() time.Duration {
	if s.LBLCExpiration == 0 {
		return defaultCacheExpiration
	}
	return s.LBLCExpiration
}

func (s *Sysctls) lblcr() time.Duration {
	if s.LBLCRExpiration == 0 {
		return defaultCacheExpiration
	}
	return s.LBLCRExpiration
}

// Sysctls returns the parameters in force.
func (t *Table) Sysctls() Sysctls { return t.sysctl }

// SetSysctls replaces the parameters.
func (t *Table) SetSysctls(s Sysctls) { t.sysctl = s }

// SetSysctl sets one parameter by its name, with or without "net.ipv4.vs.". Parameters whose effect is not modelled are
// accepted at their default only.
func (t *Table) SetSysctl(name, value string) error {
	key := strings.TrimPrefix(strings.ReplaceAll(name, "/", "."), "net.ipv4.vs.")
	fail := func(err error) error { return &OpError{"sysctl", name + "=" + strconv.Quote(quote(value)), err} }
	n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 32)
	if err != nil {
		return fail(ErrBadValue)
	}
	s := &t.sysctl
	on := n != 0
	switch key {
	case "conn_reuse_mode":
		s.ConnReuseMode = int(n)
	case "expire_nodest_conn":
		s.ExpireNodestConn = on
	case "expire_quiescent_template":
		s.ExpireQuiescentTemplate = on
	case "conntrack":
		s.Conntrack = on
	case "sloppy_tcp":
		s.SloppyTCP = on
	case "sloppy_sctp":
		s.SloppySCTP = on
	case "cache_bypass":
		s.CacheBypass = on
	case "nat_icmp_send":
		s.NATICMPSend = on
	case "lblc_expiration", "lblcr_expiration":
		if n <= 0 {
			return fail(ErrBadValue)
		}
		if key == "lblc_expiration" {
			s.LBLCExpiration = time.Duration(n) * time.Second
		} else {
			s.LBLCRExpiration = time.Duration(n) * time.Second
		}
	default:
		def, known := fixedSysctls[key]
		switch {
		case !known:
			return fail(ErrUnknownSysctl)
		case def != n:
			return fail(ErrNotModelled)
		}
	}
	return nil
}

// fixedSysctls are parameters whose default alone is modelled.
var fixedSysctls = map[string]int64{
	"secure_tcp": 0, "drop_entry": 0, "drop_packet": 0, "backup_only": 0, "snat_reroute": 1, "pmtu_disc": 1,
	"schedule_icmp": 0, "ignore_tunneled": 0, "sync_version": 1, "sync_persist_mode": 0, "am_droprate": 10, "amemthresh": 1024,
}

// Timeouts are those that ipvsadm --set changes; zero fields of a change leave what is.
type Timeouts struct {
	TCP    time.Duration // of ESTABLISHED
	TCPFIN time.Duration // of FIN_WAIT
	UDP    time.Duration
}

// DefaultTimeouts are the kernel's (ip_vs_proto_tcp.c, tcp_timeouts; ip_vs_proto_udp.c, udp_timeouts).
func DefaultTimeouts() Timeouts {
	return Timeouts{TCP: 15 * time.Minute, TCPFIN: 2 * time.Minute, UDP: 5 * time.Minute}
}

// Timeouts returns the timeouts in force.
func (t *Table) Timeouts() Timeouts { return t.timeouts }

// SetTimeouts changes timeouts; entries take the new value at their next packet (ip_vs_set_timeout).
func (t *Table) SetTimeouts(n Timeouts) error {
	for _, v := range [...]*time.Duration{&n.TCP, &n.TCPFIN, &n.UDP} {
		if *v < 0 || *v%time.Second != 0 || *v/time.Second > 1<<31/1000 {
			return &OpError{"set timeouts", n.String(), ErrBadValue}
		}
	}
	if n.TCP != 0 {
		t.timeouts.TCP = n.TCP
	}
	if n.TCPFIN != 0 {
		t.timeouts.TCPFIN = n.TCPFIN
	}
	if n.UDP != 0 {
		t.timeouts.UDP = n.UDP
	}
	return nil
}

// String spells the timeouts in seconds as ipvsadm --set takes them.
func (n Timeouts) String() string {
	s := func(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }
	return s(n.TCP) + " " + s(n.TCPFIN) + " " + s(n.UDP)
}
