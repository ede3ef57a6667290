package box

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// onOneProcessor starts a process that stays, with all its children, on the processor that this thread runs on. User Mode Linux
// stops and continues a process of its own for every system call inside it: between two processors that take turns in sleeping,
// each stop costs a wake-up by interrupt, and connections took five times as long.
func onOneProcessor(start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var may, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		return start()
	}
	var here uint32
	if _, _, no := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&here)), 0, 0); no != 0 || !may.IsSet(int(here)) {
		return start()
	}
	one.Set(int(here))
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return start()
	}
	defer unix.SchedSetaffinity(0, &may)
	return start()
}
