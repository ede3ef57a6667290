package kernel_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/box"
	"github.com/svclab/svclab/sim/kernel"
)

// What the test program is told by its environment.
const (
	victimVariable  = "SVCLAB_TEST_VICTIM"  // it is a parent to be killed; the value is its vehicle
	attemptVariable = "SVCLAB_TEST_ATTEMPT" // it tries to start the vehicle that is the value
	decoyVariable   = "SVCLAB_TEST_DECOY"   // it runs inside a decoy
)

// attempt tries to bring a kernel up and prints the typed reason for which it cannot.
func attempt(vehicle string) {
	k, err := kernel.Start(context.Background(), kernel.Config{Vehicle: kernel.Vehicle(vehicle)})
	if err == nil {
		k.Close()
		fmt.Println("it works")
	} else if m, ok := box.Missing(err); ok {
		fmt.Printf("%s: %s: %s\n", m.What, m.Reason, m.Mend)
	} else {
		fmt.Println("untyped:", err)
	}
	os.Exit(0)
}

// victim brings a kernel up, loads rules and sends traffic until it is killed. It says "ready" when the traffic begins.
func victim(vehicle string) {
	ctx := context.Background()
	top := kernel.Topology{
		NodeAddrs: []netip.Addr{netip.MustParseAddr("192.168.8.11")}, LocalPods: []netip.Prefix{netip.MustParsePrefix("10.244.36.0/24")},
		Backends: []kernel.Backend{{Proto: packet.TCP, Addr: netip.MustParseAddrPort("10.244.36.124:80")}},
	}
	k, err := kernel.Start(ctx, kernel.Config{Vehicle: kernel.Vehicle(vehicle), Topology: top})
	if err == nil {
		err = k.Apply(ctx, []datapath.Op{
			datapath.IPTablesRestore{Family: packet.IPv4, Text: "*nat\n-A PREROUTING -d 10.102.19.139 -p tcp --dport 80 -j DNAT --to-destination 10.244.36.124:80\nCOMMIT\n"},
			datapath.SetCommands{Text: "create S hash:ip\nadd S 192.0.2.1\n"},
			datapath.AddressAdd{Interface: "eth0", Prefix: netip.MustParsePrefix("192.168.8.12/32")},
		})
	}
	flow := kernel.Flow{Proto: packet.TCP, Src: netip.MustParseAddrPort("10.244.36.9:0"), Dst: netip.MustParseAddrPort("10.102.19.139:80")}
	for said := false; err == nil; said = true {
		if !said {
			fmt.Println("ready")
		}
		_, err = k.Run(ctx, repeat(flow, 1000), kernel.RunOptions{})
	}
	fmt.Println(err)
	os.Exit(1)
}
