package box

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// endings are what a box does last.
var endings ending

type ending struct {
	mu   sync.Mutex
	once sync.Once
	list []func()
}

func (e *ending) run() {
	e.once.Do(func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, f := range e.list {
			f()
		}
	})
}

// AtEnd lets the box do something last when its parent has died, however suddenly: to remove a file of the parent's, for one. The box
// gives up the signal that would otherwise end it at that moment, and ends by the lifeline alone. What is done must be short.
func (in *Inside) AtEnd(f func()) error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("giving up PDEATHSIG: %w", err)
	}
	endings.mu.Lock()
	defer endings.mu.Unlock()
	endings.list = append(endings.list, f)
	return nil
}
