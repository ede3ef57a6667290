package kernel

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// acceptedHold is how long a backend keeps a connection, also when its client is gone already.
const acceptedHold = 5 * time.Millisecond

// localKey is an address made local to a side.
type localKey struct {
	side Side
	addr netip.Addr
}

// serve makes the set of backends what is asked for.
func (a *agent) serve(want []Backend) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	keep := map[Backend]bool{}
	for _, b := range want {
		keep[b] = true
	}
	for b, stop := range a.servers {
		if keep[b] {
			continue
		}
		stop()
		delete(a.servers, b)
		k := localKey{a.top.SideOf(b.Addr.Addr()), b.Addr.Addr()}
		if a.locals[k]--; a.locals[k] > 0 || k.side == Node {
			continue
		}
		delete(a.locals, k)
		if err := a.side(k.side).DeleteLocal(k.addr); err != nil {
			return err
		}
	}
	for _, b := range want {
		if a.servers[b] != nil {
			continue
		}
		k := localKey{a.top.SideOf(b.Addr.Addr()), b.Addr.Addr()}
		if err := a.local(k); err != nil {
			return err
		}
		stop, err := a.responders[k.side].Listen(a.side(k.side), b.Addr, b.Proto == packet.UDP)
		if err != nil {
			return fmt.Errorf("backend %s %s: %w", b.Proto, b.Addr, err)
		}
		a.servers[b] = stop
		a.locals[k]++
	}
	return nil
}

// local makes an address local to its side, unless it is already. Addresses of the node are its own.
func (a *agent) local(k localKey) error {
	if _, ok := a.locals[k]; ok || k.side == Node {
		return nil
	}
	if err := a.side(k.side).AddLocal(k.addr); err != nil {
		return err
	}
	a.locals[k] = 0
	return nil
}
