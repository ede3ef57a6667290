package conntrack

import "time"

// Config are the settings of a table, the sysctls net.netfilter.nf_conntrack_* of one network namespace.
type Config struct {
	Max     int // nf_conntrack_max: entries, unconfirmed ones included, beyond which new flows must evict others; 0 means no limit
	Buckets int // nf_conntrack_buckets: decides which entries are near each other when one must be evicted; 0 means Max

	TCPLoose      bool // pick up TCP connections in mid-stream
	TCPBeLiberal  bool // out-of-window segments are not INVALID
	TimeWaitReuse bool // a port search may evict an entry in TIME_WAIT that holds the tuple (Linux 6.9 and later)
	// ClashDrops says that of two packets of one flow that are under way at once to different places the later is dropped, as before
	// Linux 5.6 (commit 6a757c07e51f, nf_ct_resolve_clash_harder); else it is passed on, and its entry lives for a second.
	ClashDrops bool

	Seed     uint64   // perturbs the hash; the same seed gives the same evictions
	Timeouts Timeouts // zero fields are replaced by the defaults
}

// SetTCPBeLiberal changes nf_conntrack_tcp_be_liberal.
func (t *Table) SetTCPBeLiberal(on bool) { t.cfg.TCPBeLiberal = on }

// DefaultConfig returns the settings of a Linux 6.1 host: 262144 entries, loose TCP, default timeouts.
func DefaultConfig() Config {
	return Config{Max: 262144, TCPLoose: true, Timeouts: DefaultTimeouts()}
}

// Timeouts are the lifetimes of entries after their latest packet, by protocol and state
// (net.netfilter.nf_conntrack_*_timeout*).
type Timeouts struct {
	TCP               [NumTCPStates]time.Duration // by state
	TCPMaxRetrans     time.Duration               // cap after nf_conntrack_tcp_max_retrans retransmissions
	TCPUnacknowledged time.Duration               // cap while data waits for an acknowledgement, and for connections picked up

	UDP, UDPStream time.Duration
	SCTP           [NumSCTPStates]time.Duration // by state
	ICMP, ICMPv6   time.Duration
	Generic        time.Duration // protocols without a machine of their own
}

// DefaultTimeouts returns the kernel's defaults (net/netfilter/nf_conntrack_proto_{tcp,udp,sctp,icmp,icmpv6,generic}.c, v6.1).
func DefaultTimeouts() Timeouts {
	const s = time.Second
	return Timeouts{
		TCP: [NumTCPStates]time.Duration{
			TCPSynSent: 120 * s, TCPSynRecv: 60 * s, TCPEstablished: 432000 * s, TCPFinWait: 120 * s, TCPCloseWait: 60 * s,
			TCPLastAck: 30 * s, TCPTimeWait: 120 * s, TCPClose: 10 * s, TCPSynSent2: 120 * s,
		},
		TCPMaxRetrans: 300 * s, TCPUnacknowledged: 300 * s,
		UDP: 30 * s, UDPStream: 120 * s,
		SCTP: [NumSCTPStates]time.Duration{
			SCTPClosed: 10 * s, SCTPCookieWait: 3 * s, SCTPCookieEchoed: 3 * s, SCTPEstablished: 210 * s,
			SCTPShutdownSent: 3 * s, SCTPShutdownRecd: 3 * s, SCTPShutdownAckSent: 3 * s, SCTPHeartbeatSent: 30 * s,
		},
		ICMP: 30 * s, ICMPv6: 30 * s, Generic: 600 * s,
	}
}

// withDefaults fills in what is zero.
func (t Timeouts) withDefaults() Timeouts {
	d := DefaultTimeouts()
	for i := range t.TCP {
		fill(&t.TCP[i], d.TCP[i])
	}
	for i := range t.SCTP {
		fill(&t.SCTP[i], d.SCTP[i])
	}
	fill(&t.TCPMaxRetrans, d.TCPMaxRetrans)
	fill(&t.TCPUnacknowledged, d.TCPUnacknowledged)
	fill(&t.UDP, d.UDP)
	fill(&t.UDPStream, d.UDPStream)
	fill(&t.ICMP, d.ICMP)
	fill(&t.ICMPv6, d.ICMPv6)
	fill(&t.Generic, d.Generic)
	return t
}

func fill(d *time.Duration, def time.Duration) {
	if *d == 0 {
		*d = def
	}
}
