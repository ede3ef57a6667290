package kernel_test

import (
	"errors"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/kernel"
)

// TestKernelUMLThroughput: connections through IPVS in a kernel of its own; the figure of an idle machine is 1,500 a second and 30 s
// from start to the last of 20,000.
func TestKernelUMLThroughput(t *testing.T) {
	begin := time.Now()
	d := newDirector(t)
	t.Logf("up after %s", time.Since(begin))
	at, ops := virtualService(packet.IPv4, packet.TCP, 0, ipvs.ServiceConfig{Scheduler: "rr"}, []int{1, 1, 1})
	d.apply(ops...)
	const n = 20000
	log, err := d.k.Run(d.ctx, d.flows(packet.IPv4, packet.TCP, at, n, 100), kernel.RunOptions{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, o := range log.Outcomes {
		if o.Failure != "" {
			failed++
		}
	}
	if failed > 0 || len(log.Outcomes) != n {
		t.Errorf("%d of %d connections answered, %d failed", len(log.Outcomes)-failed, n, failed)
	}
	t.Logf("%d connections in %s: %.0f a second; %s from start to end", n, log.Elapsed, float64(n)/log.Elapsed.Seconds(), time.Since(begin))
}

// TestKernelIPVSBulk loads 3,000 virtual services with three servers each, as kube-proxy's ipvs mode would: 48 s were needed with a
// round trip of netlink for each.
func TestKernelIPVSBulk(t *testing.T) {
	d := newDirector(t)
	var ops []datapath.Op
	const services = 3000
	for i := range services {
		_, made := virtualService(packet.IPv4, packet.TCP, i, ipvs.ServiceConfig{Scheduler: "rr"}, []int{1, 2, 3})
		ops = append(ops, made...)
	}
	begin := time.Now()
	if err := d.k.Apply(d.ctx, ops); err != nil {
		t.Fatal(err)
	}
	loaded := time.Since(begin)
	if err := d.node.Apply(ops...); err != nil {
		t.Fatal(err)
	}
	d.agree(kernel.IPVSOptions{})
	t.Logf("%d operations in %s; all agreed after %s", len(ops), loaded, time.Since(begin))
	// What fails is named, wherever it stands among others.
	last := ops[len(ops)-1].(datapath.IPVSDestinationAdd)
	bad := []datapath.Op{datapath.IPVSDestinationDelete{Key: last.Key, Server: last.Destination.Addr}, ops[len(ops)-2], ops[0]}
	var at *datapath.OpError
	if err := d.k.Apply(d.ctx, bad); !errors.As(err, &at) || at.Index != 1 {
		t.Errorf("a server that is there already: %v", err)
	}
}
