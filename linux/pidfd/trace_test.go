package pidfd

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// trace attaches to a process, on one thread as ptrace(2) wants it, and stops it
// until done is closed.
func trace(pid int, traced chan<- error, done <-chan struct{}) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := unix.PtraceAttach(pid)
	if err == nil {
		_, err = unix.Wait4(pid, nil, unix.WALL, nil)
	}
	traced <- err
	if err != nil {
		return err
	}
	<-done
	return unix.PtraceDetach(pid)
}
