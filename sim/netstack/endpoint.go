package netstack

import (
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// endpoint is the link end of a stack. What a stack sends goes to the Fabric's out list, from whatever goroutine; handing it to
// the next stack at once would re-enter stacks that hold their locks. Packets are passed on by reference.
type endpoint struct {
	host       *Host
	dispatcher stack.NetworkDispatcher
}

// WritePackets takes what the stack sends.
func (e *endpoint) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	f := e.host.f
	f.mu.Lock()
	for _, p := range pkts.AsSlice() {
		it := f.itemLocked()
		it.pkt, it.from = p.CloneToInbound(), e.host
		f.out = append(f.out, it)
	}
	f.mu.Unlock()
	if f.live != nil {
		f.live.kick()
	}
	return pkts.Len(), nil
}

// receive gives a packet to the stack, which takes a reference of its own.
func (e *endpoint) receive(p *stack.PacketBuffer) {
	if e.host.isMartian(p) {
		e.host.f.stats.Martian++
		return
	}
	proto := header.IPv4ProtocolNumber
	if b, ok := buffered(p).need(1); ok && b[0]>>4 == 6 {
		proto = header.IPv6ProtocolNumber
	}
	e.dispatcher.DeliverNetworkPacket(proto, p)
}

func (e *endpoint) Attach(d stack.NetworkDispatcher) { e.dispatcher = d }
func (e *endpoint) IsAttached() bool                 { return e.dispatcher != nil }
func (e *endpoint) MTU() uint32                      { return uint32(e.host.link.mtu()) }
func (e *endpoint) SetMTU(mtu uint32)                { e.host.link.MTU = int(mtu) }

// Capabilities leave transport checksums to the link unless they are wanted.
func (e *endpoint) Capabilities() stack.LinkEndpointCapabilities {
	if e.host.f.o.Checksums {
		return stack.CapabilityNone
	}
	return stack.CapabilityTXChecksumOffload | stack.CapabilityRXChecksumOffload
}

func (*endpoint) MaxHeaderLength() uint16                 { return 0 }
func (*endpoint) LinkAddress() tcpip.LinkAddress          { return "" }
func (*endpoint) SetLinkAddress(tcpip.LinkAddress)        {}
func (*endpoint) Wait()                                   {}
func (*endpoint) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }
func (*endpoint) AddHeader(*stack.PacketBuffer)           {}
func (*endpoint) ParseHeader(*stack.PacketBuffer) bool    { return true }
func (*endpoint) Close()                                  {}
func (*endpoint) SetOnCloseAction(func())                 {}
