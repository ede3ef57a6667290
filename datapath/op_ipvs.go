package datapath

import (
	"net/netip"

	"github.com/svclab/svclab/datapath/ipvs"
)

// IPVSServiceAdd makes a virtual service (ipvsadm -A).
type IPVSServiceAdd struct{ Service ipvs.ServiceConfig }

// Command spells the call.
func (o IPVSServiceAdd) Command() string {
	return "ipvsadm " + ipvs.Command{Op: ipvs.ServiceAdd, Service: o.Service}.String()
}

// IPVSServiceEdit changes scheduler, flags and persistence of a virtual service (ipvsadm -E).
type IPVSServiceEdit struct{ Service ipvs.ServiceConfig }

// Command spells the call.
func (o IPVSServiceEdit) Command() string {
	return "ipvsadm " + ipvs.Command{Op: ipvs.ServiceEdit, Service: o.Service}.String()
}

// IPVSServiceDelete removes a virtual service with its servers (ipvsadm -D).
type IPVSServiceDelete struct{ Key ipvs.ServiceKey }

// Command spells the call.
func (o IPVSServiceDelete) Command() string {
	return "ipvsadm " + ipvs.Command{Op: ipvs.ServiceDelete, Service: ipvs.ServiceConfig{Key: o.Key}}.String()
}

// IPVSDestinationAdd puts a server at the head of a service's list (ipvsadm -a).
type IPVSDestinationAdd struct {
	Key         ipvs.ServiceKey
	Destination ipvs.DestinationConfig
}

// Command spells the call.
func (o IPVSDestinationAdd) Command() string {
	return "ipvsadm " + ipvs.Command{Op: ipvs.ServerAdd, Service: ipvs.ServiceConfig{Key: o.Key}, Server: o.Destination}.String()
}

// IPVSDestinationEdit changes weight, thresholds and forwarding of a server (ipvsadm -e).
type IPVSDestinationEdit struct {
	Key         ipvs.ServiceKey
	Destination ipvs.DestinationConfig
}

// Command spells the call.
func (o IPVSDestinationEdit) Command() string {
	return "ipvsadm " + ipvs.Command{Op: ipvs.ServerEdit, Service: ipvs.ServiceConfig{Key: o.Key}, Server: o.Destination}.String()
}

// IPVSDestinationDelete takes a server out of a service (ipvsadm -d).
type IPVSDestinationDelete struct {
	Key    ipvs.ServiceKey
	Server netip.AddrPort
}

// Command spells the call.
func (o IPVSDestinationDelete) Command() string {
	return "ipvsadm " + ipvs.Command{Op: ipvs.ServerDelete, Service: ipvs.ServiceConfig{Key: o.Key}, Server: ipvs.DestinationConfig{Addr: o.Server}}.String()
}

// IPVSTimeouts sets timeouts of TCP, TCP after a FIN, and UDP entries; zero ones stay (ipvsadm --set).
type IPVSTimeouts struct{ Timeouts ipvs.Timeouts }

// Command spells the call.
func (o IPVSTimeouts) Command() string { return "ipvsadm --set " + o.Timeouts.String() }

// IPVSFlush removes every virtual service (ipvsadm -C).
type IPVSFlush struct{}

// Command spells the call.
func (IPVSFlush) Command() string { return "ipvsadm -C" }
