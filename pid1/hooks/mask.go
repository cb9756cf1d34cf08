package hooks

import (
	"runtime"
	"syscall"
	"unsafe"
)

// setMask sets the signal mask of this goroutine's thread, for a child to take
// over, and returns what undoes it.
func setMask(mask uint64) (undo func()) {
	const sigSetmask = 2
	runtime.LockOSThread()
	var old uint64
	set := func(new, old *uint64) {
		syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, sigSetmask, uintptr(unsafe.Pointer(new)), uintptr(unsafe.Pointer(old)), 8, 0, 0)
	}
	set(&mask, &old)
	return func() {
		set(&old, nil)
		runtime.UnlockOSThread()
	}
}
