package kubeproxy_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/kubeproxy"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

// restart ends kube-proxy and starts it in another mode on the node as it is, with the clean-ups of such a start.
func (l *ipvsLab) restart(mode service.Mode) {
	l.t.Helper()
	h := kubeproxy.NodeHost{Node: l.n}
	p, err := kubeproxy.New(mode, l.f, l.s, l.n.Profile)
	if err != nil {
		l.t.Fatal(err)
	}
	if r := p.Start(h); r.Err != nil {
		l.t.Fatal(r.Err)
	}
	if r, err := p.Sync(l.now, l.s, h, kubeproxy.Options{}); err != nil || r.Err != nil {
		l.t.Fatal(err, r.Err)
	}
}

// From ipvs to iptables nothing is cleaned: virtual servers, addresses and sets stay, but DNAT comes before IPVS, which gets no
// new connection; and old ones of IPVS go on. Back in ipvs mode, IPVS serves again.
func TestSwitchFromIPVSAndBack(t *testing.T) {
	ipvsMatrix(t, nil, func(l *ipvsLab) {
		vip := l.at("10.96.0.50", 80)
		old := l.packet(l.at("10.244.1.20", 40000), vip, false)
		l.walk(&old)
		entries := len(l.n.IPVS.Conns())

		l.restart(service.ModeIPTables)
		if n := len(l.n.IPVS.Services()); n != 4 {
			l.t.Errorf("%d virtual servers", n)
		}
		if addrs, ok := (kubeproxy.NodeHost{Node: l.n}).Addresses(kubeproxy.DummyInterface); !ok || len(addrs) != 3 {
			l.t.Errorf("addresses %v", addrs)
		}
		p := l.packet(l.at("10.244.1.20", 41000), vip, false)
		d := l.walk(&p)
		if d.Fate != datapath.Forwarded || p.Dst.Port() != 8080 || len(l.n.IPVS.Conns()) != entries {
			l.t.Errorf("%s %s to %s, %d entries of IPVS", d.Fate, d.Reason, p.Dst, len(l.n.IPVS.Conns()))
		}
		more := l.packet(l.at("10.244.1.20", 40000), vip, false)
		if l.proto == packet.TCP {
			more.TCPFlags = packet.ACK
		}
		if l.walk(&more); more.Dst != old.Dst {
			l.t.Errorf("the old connection went to %s, was at %s", more.Dst, old.Dst)
		}

		l.restart(service.ModeIPVS)
		p = l.packet(l.at("10.244.1.20", 42000), vip, false)
		if d := l.walk(&p); d.Fate != datapath.Forwarded || len(l.n.IPVS.Conns()) != entries+1 {
			l.t.Errorf("back: %s %s, %d entries of IPVS", d.Fate, d.Reason, len(l.n.IPVS.Conns()))
		}
	})
}

// From iptables to ipvs, rules in table filter that refused a Service without endpoints go on refusing after it has some: their
// jumps stay, and ipvs mode does not know them (kubernetes/kubernetes, cmd/kube-proxy: nothing is cleaned).
func TestSwitchToIPVSKeepsOldRefusals(t *testing.T) {
	ipvsMatrix(t, nil, func(l *ipvsLab) {
		l.n = datapath.NewNode(l.n.Profile, l.n.Routes.Clone())
		l.n.SetSource(zeroes{})
		l.n.Routes.DeleteInterface(kubeproxy.DummyInterface)
		full := slices.Clone(l.s.Slices)
		l.s.Slices = nil
		l.restart(service.ModeIPTables)
		l.s.Slices = full
		l.restart(service.ModeIPVS)
		p := l.packet(l.at("192.168.10.11", 40000), l.at("10.96.0.50", 80), false)
		l.now++
		if d := l.n.Send(l.now, &p); d.Fate != datapath.Forwarded {
			l.t.Errorf("from the node, IPVS comes before filter OUTPUT: %s %s", d.Fate, d.Reason)
		}
		q := l.packet(l.at("172.16.9.9", 40000), l.at("198.51.100.9", 80), false)
		if d := l.walk(&q); d.Fate != datapath.Rejected {
			l.t.Errorf("from outside to the external IP: %s %s", d.Fate, d.Reason)
		}
	})
}

type zeroes struct{}

func (zeroes) Chance(uint32) bool { return true }
func (zeroes) Intn(int) int       { return 0 }

// A source range of one address is spelled with its length by kube-proxy and without by the kernel, so every sync deletes the entry
// and adds it again; the source is allowed all the same.
func TestIPVSRangeOfOneAddress(t *testing.T) {
	one := func(l *ipvsLab, s *service.Service) {
		s.LoadBalancerSourceRanges = []netip.Prefix{l.net("172.16.9.9", 32, 128)}
	}
	ipvsMatrix(t, one, func(l *ipvsLab) {
		r, err := l.p.Sync(l.now, l.s, kubeproxy.NodeHost{Node: l.n}, kubeproxy.Options{})
		if err != nil || r.Err != nil {
			l.t.Fatal(err, r.Err)
		}
		del, add := 0, 0
		for _, op := range r.Ops {
			switch op.(type) {
			case datapath.SetDel:
				del++
			case datapath.SetAdd:
				add++
			}
		}
		if del != 1 || add != 1 {
			l.t.Errorf("%d deleted, %d added", del, add)
		}
		p := l.packet(l.at("172.16.9.9", 40000), l.at("203.0.113.30", 80), false)
		if d := l.walk(&p); d.Fate != datapath.Forwarded {
			l.t.Errorf("%s %s", d.Fate, d.Reason)
		}
	})
}
