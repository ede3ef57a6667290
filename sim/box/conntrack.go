package box

import "github.com/svclab/svclab/datapath/packet"

// ConntrackEntry is one connection of a kernel's table, as ctnetlink tells it.
type ConntrackEntry struct {
	Orig, Reply               packet.Tuple // Reply is as replies are sent: its source is the endpoint a connection went to
	OrigPackets, ReplyPackets uint64       // 0 unless net.netfilter.nf_conntrack_acct is on
	OrigBytes, ReplyBytes     uint64
	Mark                      uint32
	TimeoutSeconds            uint32
	TCPState                  uint8 // enum tcp_conntrack (nf_conntrack_tcp.h); 0 for other protocols
}
