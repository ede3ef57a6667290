package box

import "sync"

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

// AtEnd lets the box do something last when its parent has died, however suddenly: to remove a file of the parent's, for one. What is
// done must be short. A box without Config.Last is killed before it comes to that.
func (in *Inside) AtEnd(f func()) {
	endings.mu.Lock()
	defer endings.mu.Unlock()
	endings.list = append(endings.list, f)
}
