package box

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// tunDevice is where TUN interfaces are made (Documentation/networking/tuntap.rst).
const tunDevice = "/dev/net/tun"

// TUN makes a TUN interface in the namespace and sets it up: every Read of the file takes one IP packet that the namespace sent by
// it, every Write gives it one that arrives. Before each stands a struct virtio_net_hdr of 10 bytes (include/uapi/linux/
// virtio_net.h), by which the kernel leaves checksums of TCP and UDP to the reader and is told where one is not computed. The
// interface is gone with the last copy of the file. An error is a MissingError where the machine has no such device.
func (n *Namespace) TUN(name string, mtu int) (*os.File, error) {
	var f *os.File
	err := n.Do(func() error {
		if err := n.in.guard(tunDevice); err != nil {
			return err
		}
		fd, err := unix.Open(tunDevice, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return tunError(err)
		}
		q, err := unix.NewIfreq(name)
		if err == nil {
			q.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, q)
		}
		if err == nil {
			err = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM)
		}
		if err != nil {
			unix.Close(fd)
			return tunError(err)
		}
		f = os.NewFile(uintptr(fd), tunDevice)
		return nil
	})
	if err != nil {
		return nil, err
	}
	// The kernel would send router solicitations and have a link-local address of its own (net/ipv6/addrconf.c).
	for key, value := range map[string]string{"addr_gen_mode": "1", "accept_dad": "0"} {
		if err := n.SetSysctl("net.ipv6.conf."+name+"."+key, value); err != nil && !errors.Is(err, fs.ErrNotExist) {
			f.Close()
			return nil, err
		}
	}
	l, err := n.link(name)
	if err == nil {
		err = errors.Join(n.links.LinkSetMulticastOff(l), n.links.LinkSetMTU(l, mtu), n.links.LinkSetTxQLen(l, tunQueue), n.links.LinkSetUp(l))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("interface %s in %s: %w", name, n.Name, err)
	}
	return f, nil
}

// tunQueue is how many packets wait for a reader before the kernel drops more.
const tunQueue = 1000

// tunError names what is missing when a TUN interface cannot be made.
func tunError(err error) error {
	e := &MissingError{What: tunDevice, Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		e.Reason, e.Mend = NoKernelFeature, "sudo modprobe tun; in a container, start it with --device /dev/net/tun"
	case errors.Is(err, fs.ErrPermission):
		e.Reason, e.Mend = TUNRefused, "sudo chmod 0666 "+tunDevice+"; in a container, start it with --device /dev/net/tun"
	default:
		return fmt.Errorf("%s: %w", tunDevice, err)
	}
	return e
}

// DefaultRoute sends what no other route is for by an interface that has no neighbours, with an address as its source.
func (n *Namespace) DefaultRoute(name string, src netip.Addr) error {
	l, err := n.link(name)
	if err != nil {
		return err
	}
	all := &net.IPNet{IP: make(net.IP, src.BitLen()/8), Mask: net.CIDRMask(0, src.BitLen())}
	if err := n.links.RouteReplace(&netlink.Route{Dst: all, LinkIndex: l.Attrs().Index, Src: src.AsSlice(), Scope: netlink.SCOPE_LINK}); err != nil {
		return fmt.Errorf("default route by %s in %s: %w", name, n.Name, err)
	}
	return nil
}
