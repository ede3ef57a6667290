package box

import (
	"fmt"

	"github.com/vishvananda/netns"
)

// Thread is an operating-system thread of the box that moves between its network namespaces.
type Thread struct{ now *Namespace }

// OnThread runs f on a thread of its own, which ends with it.
func OnThread(f func(t *Thread) error) error {
	return onThread(func() error { return f(&Thread{}) })
}

// Enter moves the thread into a namespace: sockets made from here on are there.
func (t *Thread) Enter(n *Namespace) error {
	if t.now == n {
		return nil
	}
	if err := netns.Set(n.fd); err != nil {
		return fmt.Errorf("entering network namespace %s: %w", n.Name, err)
	}
	if err := n.in.guard("sockets in " + n.Name); err != nil {
		return err
	}
	t.now = n
	return nil
}
